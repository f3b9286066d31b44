import Linux
import Testing

@Suite("Startup memory")
struct StartupMemoryTests {
    @Test("a process goes on as before when the memory of its start is given back")
    func release() {
        let before = [UInt8](repeating: 7, count: 100_000)
        releaseStartupMemory()
        #expect(before.reduce(0) { $0 + Int($1) } == 700_000)
        #expect(timestamp().hasSuffix("Z"))
    }
}
