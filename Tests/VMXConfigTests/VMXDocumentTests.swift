import Bytes
import CLinux
import Linux
import TestFiles
import Testing

@testable import VMXConfig

/// What went wrong when reading `text`; empty if nothing did.
func problems(_ text: String) -> [String] { problems(Array(text.utf8)) }

func problems(_ bytes: [UInt8]) -> [String] {
    do {
        _ = try VMXDocument(parsing: bytes, name: "a.vmx")
        return []
    } catch {
        return error.diagnostics.map(\.description)
    }
}

@Suite("The text of a .vmx file")
struct VMXDocumentTests {
    func document(_ text: String) throws -> VMXDocument {
        try VMXDocument(parsing: Array(text.utf8), name: "a.vmx")
    }

    @Test("quoted and bare values, comments, blanks and white space are read as VMware reads them")
    func syntax() throws {
        let text = """
            #!/usr/bin/vmware
            .encoding = "UTF-8"

            memsize = "512"
            \t numvcpus\t=2   # two of them
            displayName = "web # 01"# a comment
            empty =
            empty2 = ""
            weird.key:0="a=b"
            bar = "a|22b|7Cc|7cd|e"
            """
        let document = try document(text)
        #expect(document["memsize"] == "512")
        #expect(document["NUMVCPUS"] == "2")
        #expect(document["displayname"] == "web # 01")
        #expect(document["empty"] == "")
        #expect(document["empty2"] == "")
        #expect(document["weird.key:0"] == "a=b")
        #expect(document["bar"] == "a\"b|c|d|e")
        #expect(document["absent"] == nil)
        #expect(document.line(of: "memsize") == 4)
        #expect(document.keys.first == ".encoding")
        #expect(document.bytes == Array(text.utf8))
    }

    @Test(
        "a malformed line is named with its number",
        arguments: [
            ("memsize", #"a.vmx:1: is not of the form key = "value""#),
            ("\n= \"5\"", #"a.vmx:2: is not of the form key = "value""#),
            ("a b = \"5\"", #"a.vmx:1: is not of the form key = "value""#),
            ("a = \"5", "a.vmx:1: has a value without its closing quote"),
            (
                "a = 5 6",
                "a.vmx:1: goes on after its value; a value with blanks needs quotes, a quote inside is written |22"
            ),
            (
                "a = \"5\" 6",
                "a.vmx:1: goes on after its value; a value with blanks needs quotes, a quote inside is written |22"
            ),
            ("a = \"5\0\"", "a.vmx:1: holds a zero byte"),
            ("a = \"5|00\"", "a.vmx:1: a: holds a zero byte (|00)"),
            ("ä = \"5\"", "a.vmx:1: has a key that is not up to 256 printable ASCII characters"),
            ("a = \"1\"\nA = \"1\"", "a.vmx:2: A: is already defined on line 1"),
            (
                ".encoding = \"GBK\"",
                "a.vmx:1: .encoding: the encoding \"GBK\" is not supported; save the file as UTF-8"
            ),
        ])
    func malformed(text: String, expected: String) { #expect(problems(text) == [expected]) }

    @Test("all problems are told at once, in file order, but not more than twenty")
    func several() {
        #expect(problems("x\n.encoding = \"big5\"\ny").map { $0.prefix(8) } == ["a.vmx:1:", "a.vmx:2:", "a.vmx:3:"])
        #expect(problems(String(repeating: "x\n", count: 1000)).count == 20)
    }

    @Test("limits on file, line, key and number of keys hold")
    func limits() throws {
        #expect(
            problems(String(repeating: "#\n", count: 1 << 20)) == ["a.vmx: is 2097152 bytes long; the limit is 1048576"]
        )
        #expect(
            problems("#" + String(repeating: "x", count: 16 << 10)) == [
                "a.vmx:1: is 16385 bytes long; the limit is 16384"
            ])
        #expect(problems(String(repeating: "k", count: 257) + " = 1").count == 1)
        let many = (0..<4096).map { "k\($0) = 1\n" }.joined()
        #expect(problems(many) == [])
        #expect(problems(many + "one = 1\n") == ["a.vmx:4097: is one key too many; the limit is 4096"])
    }

    @Test("a value that is not text in the file's encoding is refused; other encodings are converted")
    func encodings() throws {
        let caf: [UInt8] = Array("displayName = \"caf".utf8)
        #expect(problems(caf + [0xe9, 0x22]) == ["a.vmx:1: displayName: is not text in the file's encoding (UTF-8)"])

        // The encoding counts wherever it stands.
        let bytes = caf + [0xe9, 0x80, 0x22, 10] + Array(".encoding = \"windows-1252\"\n".utf8)
        var document = try VMXDocument(parsing: bytes, name: "a.vmx")
        #expect(document["displayName"] == "café€")
        try document.set("annotation", to: "5 €")
        #expect(document.bytes == bytes + Array("annotation = \"5 ".utf8) + [0x80, 0x22, 10])
        #expect(throws: ConfigurationError.self) { try document.set("annotation", to: "日本") }
        #expect(throws: ConfigurationError.self) { try document.set(".encoding", to: "UTF-8") }
        let removed = document.remove(".encoding")
        #expect(!removed)

        #expect(problems([0xff, 0xfe, 0x61, 0]) == ["a.vmx: is UTF-16 text; save it as UTF-8"])
        let latin = try VMXDocument(parsing: Array(".encoding = ISO-8859-1\na = ".utf8) + [0xfc], name: "a.vmx")
        #expect(latin["a"] == "ü")
    }

    @Test("an edit changes its line and nothing else")
    func edits() throws {
        let before = "\u{feff}# my machine\r\nMemSize = 512 # small\r\n\r\nunknown.thing = \"x\"\r\nlast = \"1\""
        var document = try document(before)
        #expect(document.bytes == Array(before.utf8))
        try document.set("memsize", to: "1024")
        try document.set("displayName", to: "a \"b\" | c\n")
        let removed = [document.remove("LAST"), document.remove("LAST")]
        #expect(removed == [true, false])
        let after =
            "\u{feff}# my machine\r\nMemSize = \"1024\" # small\r\n\r\nunknown.thing = \"x\"\r\n"
            + "displayName = \"a |22b|22 |7C c|0A\"\r\n"
        #expect(String(decoding: document.bytes, as: UTF8.self) == after)
        #expect(document["displayName"] == "a \"b\" | c\n")
        #expect(document.line(of: "displayName") == 5)
        #expect(try self.document(after) == document)
    }

    @Test("a file cut inside its last line end keeps its bytes and can be added to")
    func cut() throws {
        var document = try document("a = 1\r\nb = 2\r")
        #expect(document["b"] == "2")
        #expect(String(decoding: document.bytes, as: UTF8.self) == "a = 1\r\nb = 2\r")
        try document.set("c", to: "3")
        #expect(String(decoding: document.bytes, as: UTF8.self) == "a = 1\r\nb = 2\r\nc = \"3\"\r\n")
    }

    @Test("a key or value that cannot stand in a file is refused")
    func badEdits() throws {
        var document = VMXDocument(name: "a.vmx")
        for key in ["", "a b", "a=b", "a#b", "ä", String(repeating: "k", count: 257)] {
            #expect(throws: ConfigurationError.self) { try document.set(key, to: "1") }
        }
        #expect(throws: ConfigurationError.self) { try document.set("a", to: "\0") }
        #expect(throws: ConfigurationError.self) { try document.set("a", to: String(repeating: "x", count: 16 << 10)) }
        #expect(String(decoding: document.bytes, as: UTF8.self) == ".encoding = \"UTF-8\"\n")
    }

    @Test("removing a key keeps the others findable")
    func removal() throws {
        var document = try document("a = 1\nb = 2\nc = 3\n")
        document.remove("a")
        #expect(document["b"] == "2" && document["c"] == "3")
        try document.set("c", to: "4")
        #expect(String(decoding: document.bytes, as: UTF8.self) == "b = 2\nc = \"4\"\n")
    }

    @Test("saving replaces the file whole, keeps its permissions and leaves nothing behind")
    func saving() throws {
        try withTemporaryDirectory { directory in
            let path = directory + "/m.vmx"
            var document = VMXDocument(name: path)
            try document.set("memsize", to: "64")
            try document.save(path)
            #expect(try VMXDocument.load(path) == document)
            try document.set("memsize", to: "128")
            try document.save(path)
            #expect(try VMXDocument.load(path)["memsize"] == "128")
            #expect(throws: SystemError.self) { try FileIdentity(of: path + ".new") }
            #expect(try FileIdentity(of: path).permissions == 0o644)
        }
    }

    @Test("saving through a link replaces the file it leads to, and a link in the new file's place leads nowhere")
    func savingThroughLinks() throws {
        try withTemporaryDirectory { directory in
            let path = directory + "/m.vmx"
            let victim = directory + "/victim"
            try Files.replace(victim, with: [1, 2, 3])
            try Files.replace(path, with: [], permissions: 0o600)
            #expect(symlink(path, directory + "/alias.vmx") == 0)
            #expect(symlink(victim, path + ".new") == 0)
            let document = VMXDocument(name: path)
            try document.save(directory + "/alias.vmx")
            #expect(try VMXDocument.load(path) == document)
            #expect(try FileIdentity(of: path).permissions == 0o600)
            #expect(try FileIdentity(of: victim).size == 3)
            var status = stat()
            #expect(lstat(directory + "/alias.vmx", &status) == 0 && status.st_mode & 0o170000 == 0o120000)
        }
    }

    @Test("what is no readable regular file is refused with its reason")
    func loading() throws {
        var message = ""
        do { _ = try VMXDocument.load("/nonexistent/a.vmx") } catch { message = error.description }
        #expect(message == "/nonexistent/a.vmx: cannot be read: No such file or directory")
        do { _ = try VMXDocument.load("/dev/zero") } catch { message = error.description }
        #expect(message == "/dev/zero: is not a regular file")
    }
}
