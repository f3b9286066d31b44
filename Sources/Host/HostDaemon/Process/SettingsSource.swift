import AgentLink
import HostLink
import HostModel
import Linux

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

/// Those that the configuration agent keeps.
extension SettingsWatch: SettingsSource {}

/// Settings in a file of their own, without the configuration agent.
final class FileSettings: SettingsSource {
    let path: String
    private(set) var current: HostSettings?
    var changed: ((HostSettings) -> Void)?

    /// Reads the file. One that is not there means settings as they are at first.
    init(_ path: String) throws(SystemError) {
        self.path = path
        guard fileExists(path) else {
            current = HostSettings()
            return
        }
        let text = String(decoding: try readFile(path, limit: SettingsText.bytesMax), as: UTF8.self)
        current = SettingsText.decode(text, as: HostSettings.self).0
    }

    func change(_ edit: @escaping (inout HostSettings) -> Void, then: @escaping (ServiceError.Refusal?) -> Void) {
        var settings = current ?? HostSettings()
        edit(&settings)
        do throws(SystemError) {
            try Files.replace(path, with: Array(SettingsText.encode(settings).utf8), permissions: 0o600)
        } catch { return then(.init(.failed, "the settings cannot be saved: \(error)")) }
        current = settings
        then(nil)
        changed?(settings)
    }
}
