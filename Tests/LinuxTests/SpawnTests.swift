import Linux
import Testing

@Suite("Starting processes", .serialized)
struct SpawnTests {
    @Test("a process gets its arguments, environment, directory and descriptors, crossed over or not")
    func start() throws {
        var output = try Pipe()
        var errors = try Pipe()
        guard let outputRead = output.takeReadEnd(), let outputWrite = output.takeWriteEnd(),
            let errorRead = errors.takeReadEnd(), let errorWrite = errors.takeWriteEnd()
        else { throw SystemError.invalid("take", "the ends of a new pipe") }
        let null = try Descriptor(opening: "/dev/null", .readOnly)
        let process = try Launch(
            path: "/bin/sh", arguments: ["sh", "-c", "echo $COLOUR $0 $1 $PWD; echo oops >&2", "a", "b c"],
            environment: ["COLOUR=teal"], directory: "/usr", descriptors: [null.raw, outputWrite.raw, errorWrite.raw]
        ).start()
        _ = consume outputWrite
        _ = consume errorWrite
        #expect(process > 0)
        #expect(text(outputRead) == "teal a b c /usr\n")
        #expect(text(errorRead) == "oops\n")
    }

    @Test("an executable that is not there is named")
    func missing() {
        do throws(SystemError) {
            _ = try Launch(path: "/no/such", arguments: ["such"]).start()
            Issue.record("started what is not there")
        } catch { #expect("\(error)" == "start /no/such: No such file or directory") }
    }

    private func text(_ pipe: borrowing Descriptor) -> String {
        var bytes: [UInt8] = []
        while let more = pipe.readAvailable(), !more.isEmpty { bytes += more }
        return String(decoding: bytes, as: UTF8.self)
    }
}
