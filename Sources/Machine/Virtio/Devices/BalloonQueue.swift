import GuestMemory
import Linux
import Synchronization

/// A queue of the balloon, which of them it is depends on the features.
final class BalloonQueue: VirtioQueue, @unchecked Sendable {
    // @unchecked: `role` and `knowsPoison` are set while the queue stands still; the rest belongs to the loop.

    enum Role {
        case none, inflate, deflate, statistics, reporting
    }

    /// How many page numbers of one request are read: several times what drivers send, little enough to be done soon.
    static let pagesMax = 4096
    /// How many requests are served before the loop's other work gets its turn.
    static let batch = 8
    /// How many statistics a guest may send.
    static let statisticsMax = 64

    var role = Role.none
    /// Whether the guest tells what it fills free pages with.
    var knowsPoison = false
    private let shared: BalloonState
    private var chain: DescriptorChain
    /// The statistics request that waits for the host to ask again.
    private var held: ChainHead?

    init(index: Int, ram: GuestRAM, loop: EventLoop?, shared: BalloonState) throws(SystemError) {
        self.shared = shared
        chain = DescriptorChain(ram)
        try super.init(index: index, sizeMax: 128, ram: ram, loop: loop)
    }

    override func process() {
        var left = Self.batch
        repeat {
            ring.disableNotifications()
            while next(into: &chain) {
                serve()
                left -= 1
                if left == 0 {
                    publish()
                    return again()
                }
            }
            publish()
        } while ring.enableNotifications()
    }

    override func stopped() {
        // The guest offered it and will see it again, or will have reset the ring.
        if let held { ring.putBack(held) }
        held = nil
    }

    private func serve() {
        switch role {
        case .inflate: inflate()
        case .reporting: discardReported()
        case .statistics: return holdStatistics()
        // Pages come back by being touched.
        case .deflate, .none: break
        }
        ring.push(chain, written: 0)
    }

    // MARK: Pages

    /// An array of page numbers, 32 bits each. Neighbours are given back in one call.
    private func inflate() {
        let count = min(chain.readableCount / 4, Self.pagesMax)
        var run: Range<UInt64> = 0..<0
        for index in 0..<count {
            guard let number = chain.load(UInt32.self, at: 4 * index) else { break }
            let page = UInt64(number)
            if page == run.upperBound, !run.isEmpty {
                run = run.lowerBound..<(page + 1)
            } else if page + 1 == run.lowerBound, !run.isEmpty {
                run = page..<run.upperBound
            } else {
                discard(run)
                run = page..<(page + 1)
            }
        }
        discard(run)
    }

    private func discard(_ run: Range<UInt64>) {
        if !run.isEmpty { shared.discard(run.lowerBound << 12, count: run.count << 12) }
    }

    /// The request's own buffers are the free pages.
    private func discardReported() {
        // A guest that looks for its poison in free pages may not find zeros there.
        if knowsPoison, shared.values.withLock({ $0.poison != 0 }) { return }
        var index = 0
        while let address = chain.writableAddress(index) {
            shared.discard(address, count: unsafe chain.writable[index].count)
            index += 1
        }
    }

    // MARK: Statistics

    /// The guest answers: tags of 16 bits with values of 64 bits. The request stays here until the host asks again.
    private func holdStatistics() {
        var statistics = BalloonStatistics()
        for index in 0..<min(chain.readableCount / 10, Self.statisticsMax) {
            guard let tag = chain.load(UInt16.self, at: 10 * index),
                let value = chain.load(UInt64.self, at: 10 * index + 2)
            else { break }
            statistics.set(tag, value)
        }
        if chain.readableCount >= 10 { shared.values.withLock { $0.statistics = statistics } }
        // One is held; a guest that offers more gets the former back.
        if let held { ring.push(held, written: 0) }
        held = chain.head
    }

    func requestStatistics() {
        guard let loop else { return giveBackStatistics() }
        loop.perform { self.giveBackStatistics() }
    }

    private func giveBackStatistics() {
        guard isRunning, role == .statistics, let held else { return }
        self.held = nil
        ring.push(held, written: 0)
        publish()
    }
}
