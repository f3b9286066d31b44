import GuestMemory

/// The registers through which a driver gives the adapter commands: a command's number, then the words of its descriptor, then
/// the status is read.
struct PVSCSICommands {
    /// What a driver wants of the adapter.
    enum Command: Equatable {
        case reset
        case setUpRings(PVSCSIRings.State)
        case setUpMessageRing([GuestAddress])
        case resetBus
        case resetTarget(Int)
        case abort(UInt64, target: Int)
    }

    enum Status {
        static let done: UInt32 = 0
        static let failed: UInt32 = .max
        /// Words are missing.
        static let incomplete: UInt32 = .max - 1
    }

    /// Words of the longest descriptor.
    private static let wordsMax = 132

    private var code: UInt32 = 0
    private var words: [UInt32] = []
    private var status = Status.done

    /// Reads as how the last command went.
    var result: UInt32 { status }

    mutating func finish(_ isDone: Bool) { status = isDone ? Status.done : Status.failed }

    /// Words of a command's descriptor; nil for commands that are not known.
    private static func wordCount(_ code: UInt32) -> Int? {
        switch code {
        case PVSCSICommandCode.adapterReset, PVSCSICommandCode.resetBus: 0
        case PVSCSICommandCode.setUpRings: wordsMax
        case PVSCSICommandCode.resetDevice: 3
        case PVSCSICommandCode.abort: 4
        case PVSCSICommandCode.setUpMessageRing: 34
        default: nil
        }
    }

    /// A command's number was written.
    ///
    /// - Returns: the command, if it is complete.
    mutating func begin(_ code: UInt32) -> Command? {
        self.code = code
        words.removeAll(keepingCapacity: true)
        guard let count = Self.wordCount(code) else {
            status = Status.failed
            return nil
        }
        // How a driver finds out that there is a ring of messages: the status tells the length of the descriptor.
        status = code == PVSCSICommandCode.setUpMessageRing ? UInt32(count) : Status.incomplete
        return count == 0 ? command() : nil
    }

    /// A word of the descriptor was written.
    mutating func add(_ word: UInt32) -> Command? {
        guard let count = Self.wordCount(code), words.count < count else { return nil }
        words.append(word)
        return words.count == count ? command() : nil
    }

    private func long(_ index: Int) -> UInt64 { UInt64(words[index]) | UInt64(words[index + 1]) << 32 }

    /// Addresses of pages, given by their numbers. A number too large for an address becomes one that is no memory.
    private func pages(from index: Int, _ count: Int) -> [GuestAddress] {
        (0..<count).map { page(index + 2 * $0) }
    }

    private func page(_ index: Int) -> GuestAddress {
        let number = long(index)
        return number < 1 << 52 ? number << 12 : .max
    }

    private func command() -> Command? {
        switch code {
        case PVSCSICommandCode.adapterReset: return .reset
        case PVSCSICommandCode.resetBus: return .resetBus
        case PVSCSICommandCode.resetDevice: return .resetTarget(Int(words[0]))
        case PVSCSICommandCode.abort: return .abort(long(0), target: Int(words[2]))
        case PVSCSICommandCode.setUpRings:
            var state = PVSCSIRings.State()
            state.statePage = page(2)
            let room = UInt32(PVSCSIRings.pagesMax)
            // Counts that are too large leave no pages, which cannot be set up.
            if words[0] <= room { state.requestPages = pages(from: 4, Int(words[0])) }
            if words[1] <= room { state.completionPages = pages(from: 68, Int(words[1])) }
            return .setUpRings(state)
        case PVSCSICommandCode.setUpMessageRing:
            guard words[0] <= UInt32(PVSCSIRings.messagePagesMax) else { return .setUpMessageRing([]) }
            return .setUpMessageRing(pages(from: 2, Int(words[0])))
        default: return nil
        }
    }
}
