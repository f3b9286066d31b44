import Testing

@testable import Linux

@Suite("Kernel command line")
struct KernelCommandLineTests {
    @Test("the last value of a name counts, all values can be had")
    func values() {
        let line = KernelCommandLine("console=ttyS0 wafer.mount=a:/a wafer.mount=b:/b quiet\n")
        #expect(line.value("wafer.mount") == "b:/b")
        #expect(line.values("wafer.mount") == ["a:/a", "b:/b"])
        #expect(line.value("quiet") == "")
        #expect(line.value("quie") == nil)
    }

    @Test("quotes keep white space and are dropped, wherever they stand")
    func quotes() {
        let line = KernelCommandLine("\"wafer.run=vmx /a b\" wafer.run=\"vmx /c d\"  last")
        #expect(line.values("wafer.run") == ["vmx /a b", "vmx /c d"])
        #expect(line.parameters.last?.name == "last")
    }

    @Test("a value may hold equals signs")
    func equals() {
        #expect(KernelCommandLine("wafer.mount=LABEL=data:/data:ext4").value("wafer.mount") == "LABEL=data:/data:ext4")
    }

    @Test(
        "a switch is on by its name alone or a yes",
        arguments: [("x", true), ("x=1", true), ("x=on", true), ("x=0", false), ("", false)])
    func switches(text: String, on: Bool) {
        #expect(KernelCommandLine(text).isOn("x") == on)
    }
}
