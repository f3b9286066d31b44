import HostLink
import HostModel

/// Where the host's settings come from, and where changes of them go. On the loop's thread.
protocol SettingsSource: AnyObject {
    /// nil until they are known for the first time.
    var current: HostSettings? { get }
    /// Called when they are known, and whenever they are others.
    var changed: ((HostSettings) -> Void)? { get set }

    /// Changes them. `edit` may run more than once, when somebody else changes them at the same time.
    ///
    /// - Parameter then: gets nil when the change is saved.
    func change(_ edit: @escaping (inout HostSettings) -> Void, then: @escaping (ServiceError.Refusal?) -> Void)
}

/// Settings in memory: for tests.
final class MemorySettings: SettingsSource {
    private(set) var current: HostSettings?
    var changed: ((HostSettings) -> Void)?

    init(_ settings: HostSettings?) { current = settings }

    func change(_ edit: @escaping (inout HostSettings) -> Void, then: @escaping (ServiceError.Refusal?) -> Void) {
        var settings = current ?? HostSettings()
        edit(&settings)
        current = settings
        then(nil)
        changed?(settings)
    }
}
