public import Addresses

extension IPv4Address: SettingsValue {
    public init?(settingsText: String) { self.init(settingsText) }
    public var settingsText: String { description }
    public static var settingsForm: String { "an IPv4 address" }
}

extension IPv6Address: SettingsValue {
    public init?(settingsText: String) { self.init(settingsText) }
    public var settingsText: String { description }
    public static var settingsForm: String { "an IPv6 address" }
}

extension IPv6Network: SettingsValue {
    public init?(settingsText: String) { self.init(settingsText) }
    public var settingsText: String { description }
    public static var settingsForm: String { "an IPv6 address with its prefix length, such as fd00::5/64" }
}
