import Testing

@testable import HostLink

@Suite("What the first process found")
struct HostWarningTests {
    @Test("is read as it was written; lines that are no warnings are left out")
    func text() {
        let warnings = [
            HostWarning(.drivers, "The network card 8086:1572 has no driver."),
            HostWarning(.crash, "This host's kernel had crashed."),
        ]
        let text = HostWarning.text(warnings)
        #expect(HostWarning.warnings(in: text) == warnings)
        #expect(HostWarning.warnings(in: "\n\tx\nnonsense\tx\ndrivers\n\(text)") == warnings)
        #expect(HostWarning.warnings(in: "") == [])
    }
}
