public import Linux

/// Why state cannot be saved or used again.
public enum StateError: Error, Equatable, Sendable, CustomStringConvertible {
    /// A section was written by a later version of this program.
    case futureVersion(section: String, version: UInt32, newest: UInt32)
    /// A section's fields make no sense: which field, and why.
    case badField(section: String, String)
    /// A section belongs to another machine than the one it shall go to.
    case mismatch(section: String, String)
    /// The machine has a part that the saved one had not.
    case missingSection(String)
    /// The saved machine had a part that this one has not.
    case unknownSection(String)
    /// Two sections have the same name.
    case doubledSection(String)
    /// A part has state that cannot be saved, now or at all.
    case cannotSave(section: String, String)
    /// The bytes are not saved state.
    case notState(String)
    /// The whole was written by a later version of this program.
    case futureFormat(version: UInt32, newest: UInt32)
    /// The bytes were changed or cut off since they were written: at which byte, and what is wrong.
    case damaged(offset: UInt64, String)
    case system(SystemError)

    public var description: String {
        switch self {
        case .futureVersion(let section, let version, let newest):
            "\(section): version \(version) is not known; the newest known is \(newest)"
        case .badField(let section, let reason), .mismatch(let section, let reason),
            .cannotSave(let section, let reason):
            "\(section): \(reason)"
        case .missingSection(let section): "it says nothing of \(section), which this machine has"
        case .unknownSection(let section): "it has \(section), which this machine has not"
        case .doubledSection(let section): "it has \(section) twice"
        case .notState(let reason): "it is not saved state: \(reason)"
        case .futureFormat(let version, let newest):
            "its format has version \(version), which is not known; the newest known is \(newest)"
        case .damaged(let offset, let reason): "it is damaged at byte \(offset): \(reason)"
        case .system(let error): "\(error)"
        }
    }
}
