import Linux
import TestFiles
import Testing

@testable import VMXConfig

@Suite("The key of a suspended machine")
struct SavedStateKeyTests {
    @Test("it names the file with the state; empty, as VMware leaves it, is none")
    func reading() throws {
        let suspended = try configuration(adding: "checkpoint.vmState = \"debian12-0000abcd.vmss\"\n")
        #expect(suspended.savedState == "dir/debian12-0000abcd.vmss")
        #expect(suspended.warnings.isEmpty)
        #expect(try configuration(adding: "checkpoint.vmState = \"\"\n").savedState == nil)
        #expect(suspended.newSavedStateFile(0xabcd) == "dir/debian12-0000abcd.vmss")
    }

    @Test("it is written into the file and taken out again, and the rest stays as it was")
    func writing() throws {
        try withTemporaryDirectory { directory in
            let path = directory + "/web.vmx"
            let text = Array("memsize = 64\n# mine\nuuid.bios = \"\(someUUID)\"\n".utf8)
            try Files.replace(path, with: text)
            let machine = try MachineConfiguration.load(path)
            try machine.setSavedState(machine.newSavedStateFile(1))
            #expect(try MachineConfiguration.load(path).savedState == directory + "/web-00000001.vmss")
            try machine.setSavedState(nil)
            #expect(try readFile(path) == text)
        }
    }
}
