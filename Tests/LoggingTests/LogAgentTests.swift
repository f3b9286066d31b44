import HostLink
import Linux
import Log
import LogService
import TestFiles
import Testing

@testable import Logging

@Suite("Log agent")
struct LogAgentTests {
    @Test("what processes write can be read, and is there after the agent was ended and started again")
    func restart() throws {
        try withTemporaryDirectory { directory in
            let path = "\(directory)/log"
            let address = "\(directory)/log.sock"
            for round in 1...2 {
                let loop = try EventLoop(name: "logd")
                let agent = try LogAgent(
                    socket: try UnixDatagram.bind(path), store: "\(directory)/logs", address: address,
                    readsKernel: false,
                    on: loop)
                try loop.start()
                Log("hostd", path: path).warning("round \(round)")
                let client = try ServiceClient(address)
                var lines: [LogLine] = []
                while lines.count < round { lines = try client.ask(ReadLog(name: "hostd", count: 10)).lines }
                #expect(lines.map(\.text) == (1...round).map { "round \($0)" })
                #expect(lines.map(\.number) == (0..<UInt64(round)).map { $0 })
                let logs = try client.ask(ListLogs())
                #expect(logs.map(\.name) == LogName.allCases.map(\.rawValue))
                #expect(throws: ServiceError.refused(.init(.notFound, "there is no log named x"))) {
                    _ = try client.ask(ReadLog(name: "x", count: 1))
                }
                loop.stop()
                withExtendedLifetime(agent) {}
                removeFile(address)
            }
        }
    }
}
