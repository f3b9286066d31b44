public import Linux

/// Something in the state area that was not as it should be.
public enum StateFinding: Equatable, Sendable, CustomStringConvertible {
    /// The last save was cut off, as by a power cut; what was saved before it is in use.
    case interrupted
    /// A copy does not fit its checksum.
    case damaged(sequence: UInt64?, isRecovered: Bool)
    case unreadable(SystemError, isRecovered: Bool)
    /// A later version wrote it, in a form that this one does not know.
    case unsupported(UInt32, isRecovered: Bool)
    /// Where a copy should be there is something that was never ours.
    case foreign

    public var description: String {
        switch self {
        case .interrupted:
            "the last change of the settings was not saved to its end; the settings before it are in use"
        case .damaged(let sequence, let isRecovered):
            "the saved settings\(sequence.map { " number \($0)" } ?? "") are damaged; \(Self.consequence(isRecovered))"
        case .unreadable(let error, let isRecovered):
            "the saved settings cannot be read (\(error)); \(Self.consequence(isRecovered))"
        case .unsupported(let version, let isRecovered):
            "the saved settings have the newer form \(version); \(Self.consequence(isRecovered))"
        case .foreign: "the state area holds something else, which the next change of the settings replaces"
        }
    }

    private static func consequence(_ isRecovered: Bool) -> String {
        isRecovered ? "the other copy is in use" : "the defaults are in use"
    }
}

/// Why state is not kept.
public enum StateAreaError: Error, Equatable, Sendable, CustomStringConvertible {
    case tooSmall(String, bytes: UInt64)
    case tooLong(bytes: Int)
    case exhausted
    case failed(SystemError)

    public var description: String {
        switch self {
        case .tooSmall(let name, let bytes):
            "\(name) has \(bytes) bytes; a state area needs \(StateArea.sizeMin)"
        case .tooLong(let bytes): "the settings have \(bytes) bytes; at most \(StateArea.payloadMax) can be saved"
        case .exhausted: "the state area's numbers are used up; restore the host from a backup on a fresh image"
        case .failed(let error): "cannot save the settings: \(error)"
        }
    }
}
