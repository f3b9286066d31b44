import DeviceModel
import GuestMemory
import Linux
import NetEngine
import NetTestSupport
import Synchronization
import Testing
import Virtio
import VirtioTestSupport

/// How a driver lays out its rings.
struct RingKind: CustomTestStringConvertible, Sendable {
    var features: VirtioFeatures
    var indirect = false

    static let all: [RingKind] = [
        RingKind(features: []), RingKind(features: [.eventIndex]),
        RingKind(features: [.eventIndex, .indirectDescriptors], indirect: true), RingKind(features: [.packedRing]),
        RingKind(features: [.packedRing, .eventIndex, .indirectDescriptors], indirect: true),
    ]

    var testDescription: String {
        let layout = features.contains(.packedRing) ? "packed" : "split"
        return layout + (features.contains(.eventIndex) ? " event" : "") + (indirect ? " indirect" : "")
    }
}

/// A machine with one network card on packet sockets. Without loops, a test serves the queues itself.
final class NetMachine {
    static let address = MACAddress(0x00, 0x0c, 0x29, 1, 2, 3)
    static let other = MACAddress(0x00, 0x0c, 0x29, 9, 9, 9)

    let memory: GuestMemory
    let net: VirtioNet
    let peers: [Peer]
    let interrupts: TestInterrupts
    let function: VirtioPCIFunction
    let driver: VirtioDriver
    let log = Log()
    let kind: RingKind
    private(set) var receive: [any RingDriver] = []
    private(set) var transmit: [any RingDriver] = []
    private(set) var control: (any RingDriver)?
    private(set) var controlIndex = 0
    /// Where each offered receive buffer is, by queue and token.
    private var buffers: [Int: [UInt16: [Buffer]]] = [:]

    var heap: GuestHeap { driver.heap }

    convenience init(
        pairs: Int = 1, kind: RingKind = RingKind(features: []), offloads: NetOffloads = .all, loops: [EventLoop] = [],
        control: EventLoop? = nil, settings: VirtioNet.Settings = .init(address: address), bytes: Int = 16 << 20
    ) throws {
        var peers: [Peer] = []
        var queues: [SocketBackend.Queue] = []
        for _ in 0..<pairs {
            try Descriptor.packetPair().split { near, far in
                queues.append(SocketBackend.Queue(near))
                peers.append(Peer(far))
            }
        }
        try self.init(
            SocketBackend(queues, offloads: offloads), peers, kind: kind, loops: loops, control: control,
            settings: settings, bytes: bytes)
    }

    init(
        _ backend: any NetBackend, _ peers: [Peer], kind: RingKind, loops: [EventLoop], control: EventLoop?,
        settings: VirtioNet.Settings = .init(address: address), kernel: [VhostDevice] = [], bytes: Int
    ) throws {
        self.kind = kind
        self.peers = peers
        memory = try GuestMemory(count: bytes)
        let log = log
        net = try VirtioNet(
            settings, backend: backend, memory: memory, loops: loops, kernel: kernel, log: { log.add($0) })
        interrupts = try TestInterrupts(2 * backend.queueCount + 2)
        function = VirtioPCIFunction(
            net, interrupts: interrupts, binder: nil, control: control, log: { log.add($0) })
        driver = VirtioDriver(function, GuestHeap(memory))
    }

    deinit { close() }

    /// Once, while the loops still run.
    func close() {
        if isClosed { return }
        isClosed = true
        function.close()
    }
    private var isClosed = false

    /// Brings the card up as a driver would.
    func start(_ features: VirtioFeatures, size: Int = 64, pairs: Int = 1) {
        driver.negotiate(features.union(kind.features))
        for pair in 0..<pairs {
            receive.append(driver.setUpQueue(2 * pair, size: size, vector: UInt16(2 * pair)))
            transmit.append(driver.setUpQueue(2 * pair + 1, size: size, vector: UInt16(2 * pair + 1)))
        }
        if features.contains(.netControlQueue) {
            controlIndex = features.contains(.netMultiQueue) ? net.queues.count - 1 : 2
            control = driver.setUpQueue(controlIndex, size: min(size, 64), vector: UInt16(controlIndex))
        }
        driver.start()
    }

    /// Rings the doorbell if the device wants it, and serves the queue in its place if it has no loop.
    func kick(_ index: Int, _ ring: any RingDriver) {
        if ring.shouldKick() { driver.kick(index) }
        if net.queues[index].loop == nil { net.queues[index].process() }
    }

    func serve(_ index: Int) { net.queues[index].process() }

    /// Plugs the card into a bus as the guest's PCI code finds it.
    ///
    /// - Parameter messages: switch MSI-X on, so that interrupts come through `interrupts`; else they raise `wire`.
    func plug(messages: Bool) throws {
        let (root, place) = try plugged(function, wire)
        bus = root
        guard messages else { return }
        let base = UInt64(place.routing) << 12
        func register(_ offset: UInt64) -> UInt64 {
            root.read(region: PCIRoot.ecamRegion, offset: base + offset, width: 1)
        }
        var capability = register(0x34)
        while capability != 0, register(capability) != UInt64(MSIX.capability) { capability = register(capability + 1) }
        root.write(region: PCIRoot.ecamRegion, offset: base + capability + 2, width: 2, value: 0x8000)
    }
    private var bus: PCIRoot?
    let wire = EventWire()

    // MARK: Packets

    static func isTestFrame(_ frame: [UInt8]) -> Bool { frame.count > 12 && frame[6..<12] == [2, 0, 0, 0, 0, 1] }

    static func frame(to target: MACAddress = address, _ count: Int = 60, fill: UInt8 = 0x5a, vlan: UInt16? = nil)
        -> [UInt8]
    {
        var frame = target.bytes + [2, 0, 0, 0, 0, 1]
        if let vlan { frame += [0x81, 0, UInt8(vlan >> 8), UInt8(vlan & 0xff)] }
        frame += [0x88, 0xb5]  // local experiments (IEEE 802): no bridge looks into it
        while frame.count < count { frame.append(fill &+ UInt8(truncatingIfNeeded: frame.count)) }
        return frame
    }

    /// Offers a packet to send, header and frame cut at these places.
    @discardableResult
    func send(_ frame: [UInt8], _ header: NetHeader = NetHeader(), cuts: [Int] = [12], pair: Int = 0) -> Bool {
        let bytes = header.bytes
        return sendRaw((0..<12).map { bytes[$0] } + frame, cuts: cuts, pair: pair)
    }

    @discardableResult
    func sendRaw(_ packet: [UInt8], cuts: [Int] = [], pair: Int = 0) -> Bool {
        var parts: [Buffer] = []
        var start = 0
        for end in cuts.filter({ $0 > 0 && $0 < packet.count }) + [packet.count] where end > start {
            parts.append(Buffer(heap.place(Array(packet[start..<end])), end - start, writable: false))
            start = end
        }
        return transmit[pair].offer(parts, indirect: kind.indirect) != nil
    }

    /// Offers a receive buffer that consists of these pieces.
    @discardableResult
    func offerBuffer(_ sizes: [Int], pair: Int = 0) -> Bool {
        let parts = sizes.map { Buffer(heap.allocate($0), $0, writable: true) }
        guard let token = receive[pair].offer(parts, indirect: kind.indirect) else { return false }
        buffers[pair, default: [:]][token] = parts
        return true
    }

    /// The packets the guest has received: each header with the frame put together from its buffers.
    func collect(pair: Int = 0) -> [(header: NetHeader, frame: [UInt8])] {
        var packets: [(header: NetHeader, frame: [UInt8])] = []
        var completions = receive[pair].collect()[...]
        while let first = completions.popFirst() {
            var bytes = contents(first, pair: pair)
            guard bytes.count >= 12 else { continue }
            var head = InlineArray<12, UInt8>(repeating: 0)
            for index in 0..<12 { head[index] = bytes[index] }
            let header = NetHeader(head)
            for _ in 1..<max(Int(header.bufferCount), 1) {
                guard let next = completions.popFirst() else { break }
                bytes += contents(next, pair: pair)
            }
            packets.append((header, Array(bytes[12...])))
        }
        return packets
    }

    private func contents(_ completion: Completion, pair: Int) -> [UInt8] {
        var left = Int(completion.written)
        var bytes: [UInt8] = []
        for part in buffers[pair]?.removeValue(forKey: completion.token) ?? [] where left > 0 {
            let count = min(left, Int(part.count))
            bytes += heap.bytes(count, at: part.address)
            left -= count
        }
        return bytes
    }

    // MARK: Control queue

    /// Gives a command and returns the answer; nil if there is none.
    func command(_ kind: UInt8, _ command: UInt8, _ data: [UInt8] = []) -> UInt8? {
        guard let control else { return nil }
        let answer = heap.place([0xee])
        var parts = [Buffer(heap.place([kind, command]), 2, writable: false)]
        if !data.isEmpty { parts.append(Buffer(heap.place(data), data.count, writable: false)) }
        parts.append(Buffer(answer, 1, writable: true))
        guard control.offer(parts, indirect: self.kind.indirect) != nil else { return nil }
        kick(controlIndex, control)
        return control.collect().first?.written == 1 ? heap.bytes(1, at: answer).first : nil
    }
}

/// Puts a function on a bus of its own.
func plugged(_ function: PCIFunction, _ wire: EventWire) throws -> (root: PCIRoot, place: PCIAddress) {
    let root = PCIRoot(
        ports: .ports(), memory: .memory(),
        windows: PCIWindows(
            ports: 0xc000...0xcfff, memory32: 0xc000_0000...0xc0ff_ffff, memory64: 0x2_0000_0000...0x2_ffff_ffff),
        interruptLines: [SharedInterruptLine(wire)])
    return (root, try root.plug(function))
}

/// A wire that signals an event when it is raised.
final class EventWire: InterruptLine {
    let event: EventFD?
    init() { event = try? EventFD() }
    func set(_ level: Bool) { if level { event?.signal() } }
}

extension VirtioFeatures {
    static let controls: VirtioFeatures = [
        .netControlQueue, .netControlReceive, .netControlVLAN, .netControlAddress, .netStatus, .netAddress,
    ]
    static let guestOffloads: VirtioFeatures = [
        .netGuestChecksum, .netGuestTCP4, .netGuestTCP6, .netGuestECN, .netGuestUDP,
    ]
    static let hostOffloads: VirtioFeatures = [.netChecksum, .netHostTCP4, .netHostTCP6, .netHostECN, .netHostUDP]
}
