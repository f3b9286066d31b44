import HostModel

/// Settings as text from a restored backup or a broken disk.
func fuzzSettingsText(_ bytes: [UInt8]) {
    let (settings, _) = SettingsText.decode(String(decoding: bytes, as: UTF8.self), as: HostSettings.self)
    let text = SettingsText.encode(settings)
    let (again, problems) = SettingsText.decode(text, as: HostSettings.self)
    check(problems.isEmpty, "what was written has no problems")
    check(again == settings, "what was written reads the same")
}
