/// A part of the settings tree: a group of named values and of further groups.
///
/// One function names every member once, for reading and for writing alike, so the two cannot drift apart.
public protocol SettingsNode: Equatable, Sendable {
    /// The group with its defaults.
    init()
    /// Shows every member to the visitor, under its name.
    mutating func visit(_ visitor: inout some SettingsVisitor)
}

/// What goes over the members of a tree: the reader fills them in, the writer takes them down.
public protocol SettingsVisitor {
    mutating func value<Value: SettingsValue>(_ name: String, _ value: inout Value)
    /// Absent is nil.
    mutating func optional<Value: SettingsValue>(_ name: String, _ value: inout Value?)
    mutating func values<Value: SettingsValue>(_ name: String, _ values: inout [Value])
    mutating func group(_ name: String, _ group: inout some SettingsNode)
    mutating func groups<Node: SettingsNode>(_ name: String, _ groups: inout [Node])
}

/// A value that stands in the settings file as text.
public protocol SettingsValue: Equatable, Sendable {
    /// - Returns: nil if the text does not stand for such a value.
    init?(settingsText: String)
    var settingsText: String { get }
    /// What the text has to be, to end the sentence "… is not".
    static var settingsForm: String { get }
}

extension String: SettingsValue {
    public init?(settingsText: String) { self = settingsText }
    public var settingsText: String { self }
    public static var settingsForm: String { "text" }
}

extension Bool: SettingsValue {
    public init?(settingsText: String) {
        switch settingsText {
        case "true": self = true
        case "false": self = false
        default: return nil
        }
    }
    public var settingsText: String { self ? "true" : "false" }
    public static var settingsForm: String { "true or false" }
}

extension SettingsValue where Self: FixedWidthInteger {
    public init?(settingsText: String) {
        guard let value = Self(settingsText) else { return nil }
        self = value
    }
    public var settingsText: String { "\(self)" }
    public static var settingsForm: String { "a whole number from \(Self.min) to \(Self.max)" }
}

extension UInt16: SettingsValue {}
extension UInt32: SettingsValue {}
extension UInt64: SettingsValue {}

/// Enumerations stand in the file by their raw text.
extension SettingsValue where Self: RawRepresentable<String> & CaseIterable {
    public init?(settingsText: String) {
        guard let value = Self(rawValue: settingsText) else { return nil }
        self = value
    }
    public var settingsText: String { rawValue }
    public static var settingsForm: String { "one of \(allCases.map(\.rawValue).joined(separator: ", "))" }
}
