/// Decides when what was booted has proved itself: all vital agents have been well for a while without a break. No I/O.
struct BootConfirmation {
    /// So long they must have been well, in nanoseconds.
    static let wellFor: UInt64 = 20_000_000_000
    /// A boot on trial that has not proved itself after so long never will.
    static let trialMax: UInt64 = 300_000_000_000

    enum Decision: Equatable {
        case wait
        case confirm
        /// Restart, so that the loader takes the other bank.
        case giveUp
    }

    private let isTrial: Bool
    private let startedAt: UInt64
    private var wellSince: UInt64?
    private(set) var isDecided = false

    init(isTrial: Bool, now: UInt64) {
        self.isTrial = isTrial
        startedAt = now
    }

    /// Whether this boot is on trial and has not proved itself yet.
    var needsProof: Bool { isTrial && !isDecided }

    /// When to look again at the latest; nil if all is decided.
    var due: UInt64? {
        if isDecided { return nil }
        let well = wellSince.map { $0 &+ Self.wellFor }
        let trial = isTrial ? startedAt &+ Self.trialMax : nil
        return [well, trial].compactMap { $0 }.min()
    }

    /// Confirming did not work: it is tried again after a while.
    mutating func couldNotConfirm(now: UInt64) {
        isDecided = false
        wellSince = now
    }

    /// - Parameter isWell: whether all vital agents are well now.
    mutating func look(isWell: Bool, now: UInt64) -> Decision {
        guard !isDecided else { return .wait }
        wellSince = isWell ? wellSince ?? now : nil
        if let wellSince, now &- wellSince >= Self.wellFor {
            isDecided = true
            return .confirm
        }
        if isTrial, now &- startedAt >= Self.trialMax {
            isDecided = true
            return .giveUp
        }
        return .wait
    }
}
