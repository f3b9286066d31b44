import GuestMemory
import Linux
import NetEngine
import Virtio

/// A network that an input plays: what comes from it, and whether it takes anything.
private final class FuzzNetwork: NetBackend, @unchecked Sendable {
    // @unchecked: one thread.

    final class Queue: NetQueue, @unchecked Sendable {
        var descriptor: CInt { -1 }
        var waiting: [Int] = []
        var isFull = false
        var taken = 0
        var sum: UInt64 = 0
        weak var net: VirtioNet?

        /// What the driver may leave undone.
        private var offloads: NetOffloads {
            let negotiated = net?.negotiated ?? []
            let pairs: [(VirtioFeatures, NetOffloads)] = [
                (.netChecksum, .checksum), (.netHostTCP4, .tcp4), (.netHostTCP6, .tcp6), (.netHostECN, .ecn),
                (.netHostUDP, .udp),
            ]
            return pairs.reduce(into: []) { if negotiated.contains($1.0) { $0.insert($1.1) } }
        }

        func send(_ pieces: UnsafePointer<IOVector>, _ count: Int) -> TransferResult {
            if isFull { return .wouldBlock }
            check(count >= 2 && count <= 1024, "a packet has a header and pieces that one call takes")
            check(pieces[0].count == NetHeader.size, "the header comes first and whole")
            var bytes = InlineArray<12, UInt8>(repeating: 0)
            for index in 0..<12 { bytes[index] = pieces[0].base?.load(fromByteOffset: index, as: UInt8.self) ?? 0 }
            var length = 0
            for index in 1..<count {
                length += pieces[index].count
                guard let base = pieces[index].base else { continue }
                for offset in 0..<pieces[index].count {
                    sum &+= UInt64(base.load(fromByteOffset: offset, as: UInt8.self))
                }
            }
            let header = NetHeader(bytes)
            check(
                header.sanitized(frameLength: length, offloads: offloads) == header,
                "what is sent makes sense and was negotiated")
            taken += 1
            return .done(length + NetHeader.size)
        }

        func receive(_ pieces: UnsafePointer<IOVector>, _ count: Int) -> TransferResult {
            guard let length = waiting.first else { return .wouldBlock }
            waiting.removeFirst()
            check(count >= 2 && count <= 1024, "there are buffers and a spill, in as many pieces as one call takes")
            var left = length
            for index in 0..<count where left > 0 {
                let part = min(left, pieces[index].count)
                pieces[index].base?.initializeMemory(as: UInt8.self, repeating: UInt8(index & 1), count: part)
                left -= part
            }
            return .done(length - left)
        }
    }

    let queues = [Queue(), Queue()]
    var offloads: NetOffloads { .all }
    var queueCount: Int { queues.count }
    func queue(_ index: Int) -> any NetQueue { queues[index] }
    func setGuestOffloads(_ offloads: NetOffloads) {}
    func setActiveQueues(_ count: Int) { check((1...2).contains(count), "there are as many pairs as that") }
    func setFilter(_ filter: NetFilter) {}
    func setLink(up: Bool) {}
}

func fuzzVirtioNet(_ bytes: [UInt8]) {
    let network = FuzzNetwork()
    runVirtio(bytes) { memory in
        let net = try VirtioNet(
            .init(address: MACAddress(0, 0x0c, 0x29, 0, 0, 1)), backend: network, memory: memory, loops: [])
        for queue in network.queues { queue.net = net }
        return (net, { event in play(event, network, net) })
    }
}

/// Something happens outside the guest: bits 7:5 say what.
private func play(_ event: UInt8, _ network: FuzzNetwork, _ net: VirtioNet) {
    let pair = Int(event & 1)
    let queue = network.queues[pair]
    switch event >> 5 {
    case 0: queue.waiting.append(Int(event) * 13)
    case 1: queue.waiting.append(Int(event & 0x1f) * 2200)
    case 2: queue.waiting += [60, 1514, 60, Int(event & 0x1f) * 700]
    case 3: queue.isFull.toggle()
    case 4: net.setLink(up: event & 2 == 0)
    case 5: _ = net.announce()
    default: break
    }
    // As the port does when the back end is ready.
    net.queues[2 * pair].ready(.readable)
    net.queues[2 * pair + 1].ready(.readable)
    let statistics = net.statistics
    check(
        statistics.transmitted.packets == UInt64(network.queues.reduce(0) { $0 + $1.taken }),
        "every packet that left is counted once")
}
