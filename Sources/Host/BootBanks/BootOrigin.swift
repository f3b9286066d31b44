public import BootMedium

/// What the loader says about the start of the system that runs (docs/formats/boot-environment.md).
public struct BootOrigin: Equatable, Sendable {
    /// `wafer.bank`: which bank runs; nil if it was not started from one.
    public var bank: BootBank?
    /// `wafer.trial`: it is on trial.
    public var isTrial: Bool
    /// `wafer.fallback`: it runs because the other one could not be started.
    public var isFallback: Bool

    public init(bank: BootBank?, isTrial: Bool = false, isFallback: Bool = false) {
        self.bank = bank
        self.isTrial = isTrial
        self.isFallback = isFallback
    }
}

/// Something the host found out about its banks when it said that it is well.
public enum BootOutcome: Equatable, Sendable, CustomStringConvertible {
    /// Everything as usual.
    case usual
    /// A trial went well: this bank is the one to start from now on.
    case confirmed(BootBank)
    /// The other bank was to be tried and did not come up.
    case trialFailed(BootBank)
    /// The usual bank could not be started; this one takes its place.
    case fellBack(to: BootBank)
    /// The loader's variables could not be read and were made anew; this bank is the one to start.
    case environmentRepaired(BootBank)

    public var description: String {
        switch self {
        case .usual: "the boot bank is well"
        case .confirmed(let bank): "the update in bank \(bank.rawValue) is well and stays"
        case .trialFailed(let bank):
            "the update in bank \(bank.rawValue) did not come up; bank \(bank.other.rawValue) runs"
        case .environmentRepaired(let bank):
            "the boot loader's environment was damaged and was made anew; bank \(bank.rawValue) is started from now on"
        case .fellBack(let bank): "bank \(bank.other.rawValue) could not be started; bank \(bank.rawValue) runs"
        }
    }
}
