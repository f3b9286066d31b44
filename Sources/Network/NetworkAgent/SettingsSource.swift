import HostModel

/// Where the network agent's settings come from, and where it writes what it learns.
protocol SettingsSource: AnyObject {
    /// Called on the loop's thread with the settings at first and after every change.
    var changed: ((HostSettings) -> Void)? { get set }
    /// Begins to deliver.
    func start()
    /// Changes the network's settings; `edit` may be called again if somebody else changes them meanwhile.
    func change(_ edit: @escaping (inout NetworkSettings) -> Void)
}

/// Settings that nobody keeps: those a host has at first, and what the agent learns.
final class DefaultSettings: SettingsSource {
    private(set) var settings: HostSettings
    var changed: ((HostSettings) -> Void)?

    init(_ settings: HostSettings = HostSettings()) { self.settings = settings }

    func start() { changed?(settings) }

    func change(_ edit: @escaping (inout NetworkSettings) -> Void) {
        let before = settings
        edit(&settings.network)
        if settings != before { changed?(settings) }
    }
}
