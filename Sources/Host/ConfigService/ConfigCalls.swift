public import HostLink
public import Messages

/// The questions that `wafer configd` answers at `ServiceAddress.configuration`, to root and to the users it was told.
public enum ConfigService {
    /// The longest settings, in bytes of text, and the longest backup: what one message carries.
    public static let bytesMax = Frame.payloadMax - (64 << 10)
    /// The most bytes of an update in one message.
    public static let chunkMax = 512 << 10
    /// The kind of the event that follows `WatchSettings`: `SettingsState`.
    public static let settingsChanged: UInt16 = 1
}

/// The settings as they are.
public struct SettingsState: MessageField, Equatable, Sendable {
    /// Grows with each change.
    public var revision: UInt64
    /// See `SettingsText`.
    public var text: String
    /// What the administrator should know about how they are kept: no state partition, a damaged copy, an unusable line.
    public var warnings: [String]

    public init(revision: UInt64, text: String, warnings: [String]) {
        self.revision = revision
        self.text = text
        self.warnings = warnings
    }

    public init(from reader: inout FieldReader) throws(MessageError) {
        revision = try reader.read()
        text = try reader.read()
        warnings = try reader.read()
    }

    public func write(to writer: inout FieldWriter) {
        writer.write(revision)
        writer.write(text)
        writer.write(warnings)
    }
}

public struct GetSettings: EmptyCall {
    public typealias Answer = SettingsState
    public static let kind: UInt16 = 1
    public init() {}
}

/// Replaces all settings, saved when it is answered.
///
/// Answered with the new revision; refused as `busy` if somebody changed them since `base`, as `invalid` if a line cannot be used, as
/// `failed` if they cannot be saved: then they stay as they are.
public struct SetSettings: ServiceCall {
    public typealias Answer = UInt64
    public static let kind: UInt16 = 2
    public var text: String
    /// The revision that was changed into `text`.
    public var base: UInt64

    public init(text: String, base: UInt64) {
        self.text = text
        self.base = base
    }

    public init(from reader: inout FieldReader) throws(MessageError) {
        text = try reader.read()
        base = try reader.read()
    }

    public func write(to writer: inout FieldWriter) {
        writer.write(text)
        writer.write(base)
    }
}

/// The settings now, and as events whenever they change.
public struct WatchSettings: EmptyCall {
    public typealias Answer = SettingsState
    public static let kind: UInt16 = 3
    public init() {}
}

/// All settings as one file, to keep elsewhere.
public struct Backup: EmptyCall {
    public typealias Answer = FileBytes
    public static let kind: UInt16 = 4
    public init() {}
}

/// Replaces all settings by those of a backup; all of it is checked first. Answered with the new revision.
public struct Restore: ServiceCall {
    public typealias Answer = UInt64
    public static let kind: UInt16 = 5
    public var file: FileBytes

    public init(_ file: [UInt8]) { self.file = FileBytes(file) }
    public init(from reader: inout FieldReader) throws(MessageError) { file = try reader.read() }
    public func write(to writer: inout FieldWriter) { writer.write(file) }
}

/// Puts every setting back to its default. Answered with the new revision.
public struct FactoryReset: EmptyCall {
    public typealias Answer = UInt64
    public static let kind: UInt16 = 6
    public init() {}
}

/// Asks the host to stop or restart, in order: guests first. Answered before it begins.
public struct Power: ServiceCall {
    public typealias Answer = Done
    public static let kind: UInt16 = 7

    public enum Action: UInt8, MessageField, Sendable {
        case off = 0
        case restart = 1
    }

    public var action: Action

    public init(_ action: Action) { self.action = action }
    public init(from reader: inout FieldReader) throws(MessageError) { action = try reader.read() }
    public func write(to writer: inout FieldWriter) { writer.write(action) }
}

/// Bytes of a file.
public struct FileBytes: MessageField, Equatable, Sendable {
    public var bytes: [UInt8]

    public init(_ bytes: [UInt8]) { self.bytes = bytes }

    public init(from reader: inout FieldReader) throws(MessageError) {
        let count: UInt32 = try reader.read()
        bytes = try reader.raw(Int(count))
    }

    public func write(to writer: inout FieldWriter) {
        writer.write(UInt32(truncatingIfNeeded: bytes.count))
        writer.raw(bytes)
    }
}

/// A question without fields.
public protocol EmptyCall: ServiceCall {
    init()
}

extension EmptyCall {
    public init(from reader: inout FieldReader) throws(MessageError) { self.init() }
    public func write(to writer: inout FieldWriter) {}
}
