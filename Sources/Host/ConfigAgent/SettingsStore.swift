import ConfigService
import HostLink
import HostModel
import StateArea

/// The host's settings: in memory, and in a state area.
///
/// For one thread.
final class SettingsStore {
    private let area: StateArea
    private(set) var settings: HostSettings
    /// `settings` as text, in the one form that is saved.
    private(set) var text: String
    /// The state area's number of the last save; 0 while nothing was ever saved.
    private(set) var revision: UInt64
    /// What was found when they were loaded.
    private let findings: [String]
    /// How they are kept is not as it should be: added by the owner.
    var warnings: [String] = []

    init(_ area: StateArea) {
        self.area = area
        var findings = area.findings.map(\.description)
        if let current = area.current {
            // A later version's settings can have lines that this one does not know: it uses what it knows, and writes nothing until
            // something changes.
            let stored = String(decoding: current.payload, as: UTF8.self)
            let (settings, problems) = SettingsText.decode(stored, as: HostSettings.self)
            self.settings = settings
            findings += problems.prefix(8).map { "the saved settings: \($0)" }
            revision = current.sequence
        } else {
            settings = HostSettings()
            revision = 0
        }
        text = SettingsText.encode(settings)
        self.findings = findings
    }

    var state: SettingsState {
        SettingsState(revision: revision, text: text, warnings: warnings + findings)
    }

    /// Replaces the settings; see `SetSettings`.
    func set(_ text: String, base: UInt64) throws(ServiceError.Refusal) {
        guard base == revision else {
            throw .init(.busy, "the settings were changed meanwhile; look at them again")
        }
        try save(try Self.settings(text))
    }

    func reset() throws(ServiceError.Refusal) { try save(HostSettings()) }

    /// The settings as a backup file.
    func backup() -> [UInt8] { BackupFile.make(text) }

    func restore(_ file: [UInt8]) throws(ServiceError.Refusal) {
        let text: String
        do throws(BackupFileError) { text = try BackupFile.read(file) } catch { throw .init(.invalid, "\(error)") }
        try save(try Self.settings(text))
    }

    /// Reads settings of which every line must be usable.
    private static func settings(_ text: String) throws(ServiceError.Refusal) -> HostSettings {
        let (settings, problems) = SettingsText.decode(text, as: HostSettings.self)
        guard problems.isEmpty else {
            let list = problems.prefix(3).map(\.description).joined(separator: "; ")
            throw .init(.invalid, "these settings cannot be used: \(list)")
        }
        return settings
    }

    private func save(_ new: HostSettings) throws(ServiceError.Refusal) {
        let newText = SettingsText.encode(new)
        guard newText.utf8.count <= ConfigService.bytesMax else {
            throw .init(.invalid, "the settings have more than \(ConfigService.bytesMax) bytes")
        }
        // Before a first save there is nothing to compare with.
        if newText == text, revision > 0 { return }
        do throws(StateAreaError) { revision = try area.save(Array(newText.utf8)) } catch {
            throw .init(.failed, "\(error)")
        }
        settings = new
        text = newText
    }
}
