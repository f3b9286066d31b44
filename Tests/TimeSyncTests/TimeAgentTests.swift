import Addresses
import CLinux
import Linux
import Log
import Synchronization
import TestFiles
import TestNetwork
import Testing

@testable import TimeSync

private let chrony = "/usr/sbin/chronyd"

/// Notes what would have been done.
private final class NotingClock: DisciplinedClock, Sendable {
    let slews = Mutex<[Double]>([])
    let steps = Mutex<[Double]>([])
    func step(seconds: Double) throws(SystemError) { steps.withLock { $0.append(seconds) } }
    func slew(seconds: Double, timeConstant: Int, error: Double) throws(SystemError) {
        slews.withLock { $0.append(seconds) }
    }
    func setUnsynchronized() throws(SystemError) {}
}

@Suite("Time agent")
struct TimeAgentTests {
    @Test(
        "the time of a real server is found within a moment",
        .enabled(if: networkUnavailable == nil, "no network of its own here"),
        .enabled(if: fileExists(chrony), "there is no \(chrony); install chrony"))
    func chronyd() throws {
        try inOwnNetwork {
            try withTemporaryDirectory { directory in
                var network = try NetworkConfiguration()
                try network.setUp("lo")
                try network.add(.init(127, 0, 0, 1), prefix: 8, to: "lo")
                let configuration = """
                    local stratum 3
                    allow 127.0.0.1
                    cmdport 0
                    bindcmdaddress /
                    pidfile \(directory)/pid
                    driftfile \(directory)/drift
                    user root

                    """
                try FileSystem.write(configuration, to: "\(directory)/chrony.conf")
                // -x: it leaves this machine's clock alone.
                let server = try start(chrony, ["-x", "-d", "-f", "\(directory)/chrony.conf"])
                defer {
                    // It may have inherited a blocked SIGTERM from whatever test ran on this thread before.
                    kill(server, SIGKILL)
                    waitpid(server, nil, 0)
                }
                let clock = NotingClock()
                let loop = try EventLoop(name: "timed")
                let agent = try TimeAgent(
                    on: loop, clock: clock, log: Log("test", path: "\(directory)/none"),
                    statusFile: "\(directory)/status")
                agent.configure(servers: ["127.0.0.1"])
                let limit = try Timer(on: loop) { loop.stop() }
                limit.set(after: 30_000_000_000)
                let look = try Timer(on: loop) { if agent.discipline.isSynchronized { loop.stop() } }
                look.set(after: 100_000_000, every: 100_000_000)
                loop.run()
                let slews = clock.slews.withLock { $0 }
                #expect(slews.count == 1)
                // It is the same clock.
                #expect(slews.allSatisfy { abs($0) < 0.005 })
                #expect(clock.steps.withLock { $0 } == [])
                let status = try FileSystem.text(of: "\(directory)/status")
                #expect(status.hasPrefix("synchronized yes\noffset "))
                #expect(status.contains("server 127.0.0.1 127.0.0.1:123 reach "))
                #expect(status.hasSuffix("stratum 3"))
                agent.close()
                limit.close(on: loop)
                look.close(on: loop)
            }
        }
    }
}
