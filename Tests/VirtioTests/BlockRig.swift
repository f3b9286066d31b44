import BlockTestSupport
import DeviceModel
import GuestMemory
import Linux
import Virtio
import VirtioTestSupport

/// A machine with a block device on a disk in memory, and a guest's block driver.
final class BlockRig {
    /// A request the guest made, and where the answer will be.
    struct Pending {
        var token: UInt16
        var status: GuestAddress
        var data: GuestAddress
        var count: Int
    }

    struct Answer: Equatable {
        var status: UInt8
        var written: UInt32
        var data: [UInt8]
    }

    enum Kind {
        static let read: UInt32 = 0
        static let write: UInt32 = 1
        static let flush: UInt32 = 4
        static let identity: UInt32 = 8
        static let discard: UInt32 = 11
        static let writeZeroes: UInt32 = 13
    }

    static let done: UInt8 = 0
    static let failed: UInt8 = 1
    static let unsupported: UInt8 = 2

    let backend: MemoryBlockBackend
    let rig: DeviceRig
    private(set) var rings: [any RingDriver] = []
    private var pending: [[UInt16: Pending]] = []
    var answers: [UInt16: Answer] = [:]

    init(_ backend: MemoryBlockBackend = MemoryBlockBackend(capacity: 1 << 20), queues: Int = 1) throws {
        self.backend = backend
        rig = try DeviceRig(bytes: 16 << 20) { memory in
            try VirtioBlock(backend, ram: memory.ram, loops: [nil], queueCount: queues, queueSize: 64)
        }
    }

    /// Negotiates and starts; by default with all that the device offers.
    func start(_ features: VirtioFeatures? = nil, without: VirtioFeatures = [.packedRing], size: Int = 64) {
        let features = features ?? rig.driver.offered.subtracting(without)
        rig.driver.negotiate(features)
        rings = rig.device.queues.indices.map { rig.driver.setUpQueue($0, size: size) }
        pending = rings.map { _ in [:] }
        rig.driver.start()
    }

    static func header(_ type: UInt32, _ sector: UInt64) -> [UInt8] {
        bytes(type) + bytes(UInt32(0)) + bytes(sector)
    }

    static func bytes<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
        (0..<MemoryLayout<T>.size).map { UInt8(truncatingIfNeeded: value >> T(8 * $0)) }
    }

    /// A range of a discard or write-zeroes request.
    static func range(_ sector: UInt64, _ count: UInt32, flags: UInt32 = 0) -> [UInt8] {
        bytes(sector) + bytes(count) + bytes(flags)
    }

    /// Offers a request without ringing the doorbell.
    ///
    /// - Parameter cut: bytes of each buffer; longer parts are spread over several.
    @discardableResult
    func offer(
        _ type: UInt32, sector: UInt64 = 0, out: [UInt8] = [], in count: Int = 0, queue: Int = 0, cut: Int = 1 << 16,
        indirect: Bool = false
    ) -> Pending {
        let readable = Self.header(type, sector) + out
        let source = rig.heap.place(readable)
        // The status follows the data directly, so that cutting may leave them in one buffer.
        let target = rig.heap.place([UInt8](repeating: 0xee, count: count + 1))
        var buffers: [Buffer] = []
        for (address, length, writable) in [(source, readable.count, false), (target, count + 1, true)] {
            for start in stride(from: 0, to: length, by: cut) {
                buffers.append(
                    Buffer(address + UInt64(start), min(cut, length - start), writable: writable))
            }
        }
        guard let token = rings[queue].offer(buffers, indirect: indirect) else { preconditionFailure("ring full") }
        let request = Pending(token: token, status: target + UInt64(count), data: target, count: count)
        pending[queue][token] = request
        return request
    }

    /// Rings the doorbell if the device wants that, and collects what is answered.
    func kick(_ queue: Int = 0) {
        if rings[queue].shouldKick() { rig.kick(queue) }
        collect(queue)
    }

    func collect(_ queue: Int = 0) {
        for completion in rings[queue].collect() {
            guard let request = pending[queue].removeValue(forKey: completion.token) else {
                preconditionFailure("a chain came back twice")
            }
            answers[completion.token] = Answer(
                status: rig.heap.bytes(1, at: request.status)[0], written: completion.written,
                data: rig.heap.bytes(request.count, at: request.data))
        }
    }

    /// Makes a request and gives its answer, nil if none has come.
    func run(
        _ type: UInt32, sector: UInt64 = 0, out: [UInt8] = [], in count: Int = 0, cut: Int = 1 << 16,
        indirect: Bool = false
    ) -> Answer? {
        let request = offer(type, sector: sector, out: out, in: count, cut: cut, indirect: indirect)
        kick()
        return answers.removeValue(forKey: request.token)
    }

    func configuration<T: FixedWidthInteger>(_ offset: Int, as type: T.Type = T.self) -> T {
        T(
            truncatingIfNeeded: rig.driver.read(
                VirtioDriver.Register.configuration + UInt64(offset), MemoryLayout<T>.size))
    }
}

/// Bytes that tell where they are.
func blockPattern(_ count: Int, seed: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: ($0 &+ seed) &* 31 &+ ($0 >> 8) &* 7) }
}
