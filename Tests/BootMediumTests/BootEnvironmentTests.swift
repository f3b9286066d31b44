import BootMedium
import Linux
import TestFiles
import Testing

@Suite("The boot loader's environment")
struct BootEnvironmentTests {
    @Test("variables are found, changed, added and taken away; the file keeps its length")
    func variables() throws {
        var environment = BootEnvironment()
        environment["bank"] = "A"
        environment["trial"] = "3"
        environment["append"] = "two words = \\ and\nlines"
        environment["trial"] = nil
        environment["bank"] = "B"
        let bytes = try environment.bytes()
        #expect(bytes.count == BootEnvironment.size)
        let again = try BootEnvironment(parsing: bytes)
        #expect(again == environment)
        #expect(again["bank"] == "B")
        #expect(again["trial"] == nil)
        #expect(again["append"] == "two words = \\ and\nlines")
    }

    @Test("what does not fit and what is no environment is refused")
    func refused() throws {
        var environment = BootEnvironment()
        environment["append"] = String(repeating: "x", count: BootEnvironment.size)
        #expect(throws: BootEnvironmentError.tooLong) { try environment.bytes() }
        #expect(throws: BootEnvironmentError.notAnEnvironment) { try BootEnvironment(parsing: []) }
        let zeros = [UInt8](repeating: 0, count: BootEnvironment.size)
        #expect(throws: BootEnvironmentError.notAnEnvironment) { try BootEnvironment(parsing: zeros) }
    }

    private static let tool = "/usr/bin/grub-editenv"

    @Test(
        "GRUB's own tool reads what we write, and we read what it writes",
        .enabled(if: fileExists(tool), "no grub-editenv"))
    func grub() throws {
        try withTemporaryDirectory { directory in
            let path = "\(directory)/grubenv"
            var environment = BootEnvironment()
            environment["bank"] = "A"
            environment["odd"] = "back\\slash"
            try Files.replace(path, with: environment.bytes())
            #expect(try run(Self.tool, [path, "set", "trial=3", "next=B"]) == 0)
            let changed = try BootEnvironment(parsing: readFile(path))
            #expect(changed["bank"] == "A")
            #expect(changed["odd"] == "back\\slash")
            #expect(changed["trial"] == "3")
            #expect(changed["next"] == "B")
        }
    }
}
