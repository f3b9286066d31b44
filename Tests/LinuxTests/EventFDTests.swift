import Linux
import Testing

@Suite("Event descriptors")
struct EventFDTests {
    @Test("draining takes every signal since the last drain")
    func drainTakesAll() throws {
        let event = try EventFD()
        #expect(event.drain() == 0)
        event.signal()
        event.signal()
        #expect(event.drain() == 2)
        #expect(event.drain() == 0)
    }

    @Test("a path that is not there is named in the error")
    func openError() {
        do {
            _ = try Descriptor(opening: "/nonexistent/disk.vmdk", .readOnly)
            Issue.record("opened a path that does not exist")
        } catch {
            #expect("\(error)" == "open /nonexistent/disk.vmdk: No such file or directory")
        }
    }
}
