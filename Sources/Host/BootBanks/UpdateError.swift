public import BootMedium
public import FAT
public import Linux

/// Why an update is refused or fails. The running bank is what it was.
public enum UpdateError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The host was not started from a boot bank, or its other bank is not there.
    case noBanks
    /// The running system was not confirmed yet.
    case onTrial
    case noTrustedKey
    case tooLarge(UInt64, most: UInt64)
    case bundle(UpdateBundleError)
    case wrongSignature
    case manifest(ManifestError)
    /// The bundle is longer or shorter than its manifest says.
    case wrongSize
    case damagedPart(String)
    case volume(FATError)
    case disk(SystemError)
    /// What was written does not read the same.
    case notKept(String)
    case environment(LoaderEnvironmentError)
    /// It has failed or ended before.
    case over

    public var description: String {
        switch self {
        case .noBanks: "this host was not started from a boot bank, so there is none to update"
        case .onTrial: "the running system is itself on trial; it can be updated once it is found to be well"
        case .noTrustedKey: "this host trusts no key, so it takes no updates"
        case .tooLarge(let size, let most): "the update has \(size) bytes; a boot bank has \(most)"
        case .bundle(let error): "\(error)"
        case .wrongSignature: "the update is damaged, or not signed with a key that this host trusts"
        case .manifest(let error): "\(error)"
        case .wrongSize: "the update is not as long as its manifest says"
        case .damagedPart(let name): "\(name) in the update is damaged"
        case .volume(let error): "the update does not fit the boot bank: \(error)"
        case .disk(let error): "the boot bank cannot be written: \(error)"
        case .notKept(let what): "the boot medium did not keep \(what): it is worn out or broken"
        case .environment(let error): "\(error)"
        case .over: "there is no update under way"
        }
    }
}
