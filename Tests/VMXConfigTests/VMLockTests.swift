import CLinux
import Linux
import TestFiles
import Testing

@testable import VMXConfig

@Suite("The lock on a virtual machine")
struct VMLockTests {
    let first = LockHolder(name: "web01", process: 412, host: "esx1")
    let second = LockHolder(name: "web01", process: 413, host: "esx2")

    func message(_ path: String) -> String {
        do {
            _ = try VMLock(path, holder: second)
            return "nothing wrong"
        } catch {
            return error.description
        }
    }

    @Test("a machine runs once, and the second one learns who has it")
    func twice() throws {
        try withTemporaryDirectory { directory in
            let path = directory + "/m.vmx"
            try VMXDocument(name: path).save(path)
            #expect(symlink(path, directory + "/alias.vmx") == 0)
            var lock: VMLock? = try VMLock(path, holder: first)
            #expect(lock != nil)
            let text = "is in use by VM \"web01\" (pid 412 on esx1)"
            #expect(message(path) == "virtual machine \(path) \(text)")
            #expect(message(directory + "/alias.vmx") == "virtual machine \(directory)/alias.vmx \(text)")
            // Saving replaces the file; the lock stays.
            try VMXDocument(name: path).save(path)
            #expect(message(path).hasSuffix(text))
            #expect(VMLock.holder(of: path) == first)
            lock = nil
            #expect(message(path) == "nothing wrong")
            #expect(VMLock.holder(of: path) == nil)
            #expect(throws: SystemError.self) { try FileIdentity(of: path + ".lck") }
        }
    }

    @Test("a killed holder's lock is free at once, although its file is still there")
    func crash() throws {
        try withTemporaryDirectory { directory in
            let path = directory + "/m.vmx"
            try VMXDocument(name: path).save(path)
            // The child inherits the open file of the lock and is then the only one who has it; killing it is the crash.
            let child: CInt
            do {
                let file = try Descriptor(opening: path + ".lck", [.readWrite, .create])
                #expect(try file.tryLock(.exclusive, 0..<512))
                try file.write(first.record, at: 0, "")
                child = try start("/bin/sleep", ["600"], keeping: file.raw)
            }
            #expect(message(path).hasSuffix("is in use by VM \"web01\" (pid 412 on esx1)"))
            #expect(kill(child, SIGKILL) == 0)
            var status: CInt = 0
            #expect(waitpid(child, &status, 0) == child)
            #expect(try FileIdentity(of: path + ".lck").size == 512)
            #expect(message(path) == "nothing wrong")
        }
    }

    @Test("what is no lock file of ours is refused, not written to")
    func strange() throws {
        try withTemporaryDirectory { directory in
            let path = directory + "/m.vmx"
            try VMXDocument(name: path).save(path)
            // VMware's hosted products make a directory of that name.
            #expect(mkdir(path + ".lck", 0o700) == 0)
            #expect(message(path) == "open \(path).lck: Is a directory")
            #expect(rmdir(path + ".lck") == 0)
            #expect(symlink(path, path + ".lck") == 0)
            #expect(message(path) == "open \(path).lck: Too many levels of symbolic links")
            #expect(VMLock.holder(of: directory + "/none.vmx") == nil)
        }
    }

    @Test("a record survives odd names and refuses odd bytes")
    func records() {
        let odd = LockHolder(name: "a\"b\nc\u{1b}" + String(repeating: "x", count: 1000), process: 1, host: "h\n")
        #expect(odd.record.count == 512)
        let read = LockHolder(record: odd.record)
        #expect(read?.name.hasPrefix("abcxxx") == true && read?.host == "h" && read?.process == 1)
        for bad in ["", "wafer-lock 1", "wafer-lock 2\n1\nh\nn\n", "wafer-lock 1\nx\nh\nn\n"] {
            #expect(LockHolder(record: Array(bad.utf8)) == nil)
        }
        #expect(LockHolder.current(name: "web01").process == getpid())
        #expect(!LockHolder.current(name: "web01").host.isEmpty)
    }
}
