public import BlockStore
public import BootMedium
import FAT
public import Signatures

/// A host's two system images and which of them starts.
///
/// For one thread.
public final class BootBanks {
    /// What one bank holds.
    public struct Content: Equatable, Sendable {
        public var bank: BootBank
        /// Version and build; empty if there is no readable manifest.
        public var version: String
        public var build: String
    }

    /// How things are.
    public struct Status: Equatable, Sendable {
        public var running: BootBank?
        /// The one that starts when nothing is on trial.
        public var standard: BootBank
        /// The one that is tried next, while it is.
        public var next: BootBank?
        /// The running system is on trial: nobody has said yet that it is well.
        public var isTrial: Bool
        public var contents: [Content]
    }

    /// How often an update is tried before it is given up.
    public static let trials = 1

    private let banks: [BootBank: any BlockStore]
    /// Where each bank begins on its disk, in sectors of 512 bytes: its file system wants to say so.
    private let hiddenSectors: [BootBank: UInt32]
    private let environment: LoaderEnvironment
    public let origin: BootOrigin
    /// Set once the running system has said that it is well.
    private var isConfirmed = false

    public init(
        system: any BlockStore, banks: [BootBank: any BlockStore], hiddenSectors: [BootBank: UInt32] = [:],
        origin: BootOrigin
    ) throws(LoaderEnvironmentError) {
        environment = try LoaderEnvironment(system)
        self.banks = banks
        self.hiddenSectors = hiddenSectors
        self.origin = origin
    }

    public func status() throws(LoaderEnvironmentError) -> Status {
        let variables = try environment.read()
        let contents = BootBank.allCases.map { bank in
            let manifest = banks[bank].flatMap(Self.manifest)
            return Content(bank: bank, version: manifest?.version ?? "", build: manifest?.build ?? "")
        }
        return Status(
            running: origin.bank, standard: Self.standard(variables), next: Self.pending(variables),
            isTrial: origin.isTrial && !isConfirmed, contents: contents)
    }

    /// What must be gone through before a system on trial says that it is well: the bank it runs from must be whole and signed, which
    /// the loader does not look at. An image has to trust the key that it is signed with.
    ///
    /// - Returns: nil if nothing is on trial.
    public func checkOfTrial(trusted: [Ed25519.PublicKey]) throws(BankDefect) -> BankCheck? {
        guard origin.isTrial, !isConfirmed, let store = origin.bank.flatMap({ banks[$0] }) else { return nil }
        return try BankCheck(store, trusted: trusted)
    }

    /// Says that the running system is well. Writes only what changes.
    @discardableResult
    public func confirm() throws(LoaderEnvironmentError) -> BootOutcome {
        guard let running = origin.bank else { return .usual }
        var fresh = BootEnvironment()
        fresh["bank"] = running.rawValue
        fresh["attempts"] = "0"
        if try environment.replaceDamaged(by: fresh) {
            isConfirmed = true
            return .environmentRepaired(running)
        }
        var outcome = BootOutcome.usual
        try environment.change { variables in
            let standard = Self.standard(variables)
            if origin.isTrial, variables["next"] == running.rawValue {
                variables["bank"] = running.rawValue
                variables["next"] = ""
                variables["trial"] = ""
                outcome = .confirmed(running)
            } else if origin.isFallback, standard != running {
                variables["bank"] = running.rawValue
                outcome = .fellBack(to: running)
            }
            if Self.pending(variables) == nil, let next = variables["next"], !next.isEmpty {
                if let failed = BootBank(rawValue: next), failed != running { outcome = .trialFailed(failed) }
                variables["next"] = ""
                variables["trial"] = ""
            }
            if variables["attempts"] != "0" { variables["attempts"] = "0" }
        }
        isConfirmed = true
        return outcome
    }

    /// Begins an update of the bank that does not run; see `BankUpdate`.
    ///
    /// - Parameters:
    ///   - size: the bundle's length in bytes.
    ///   - trusted: keys of which one must have signed it.
    public func update(size: UInt64, trusted: [Ed25519.PublicKey]) throws(UpdateError) -> BankUpdate {
        guard let running = origin.bank, let store = banks[running.other] else { throw .noBanks }
        if origin.isTrial, !isConfirmed { throw .onTrial }
        return try BankUpdate(
            of: running.other, on: store, hiddenSectors: hiddenSectors[running.other] ?? 0, environment, size: size,
            trusted: trusted)
    }

    static func manifest(_ store: any BlockStore) -> Manifest? {
        guard let bytes = try? FATReader(store).contents(Manifest.fileName, limit: Manifest.sizeMax) else { return nil }
        return try? Manifest(parsing: bytes)
    }

    private static func standard(_ variables: BootEnvironment) -> BootBank { variables["bank"] == "B" ? .b : .a }

    /// The bank that the loader will try.
    private static func pending(_ variables: BootEnvironment) -> BootBank? {
        guard ["1", "2", "3"].contains(variables["trial"]) else { return nil }
        return variables["next"].flatMap(BootBank.init)
    }
}
