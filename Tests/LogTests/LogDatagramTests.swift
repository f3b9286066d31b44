import Testing

@testable import Log

@Suite("Log messages between processes")
struct LogDatagramTests {
    @Test("what is written reads the same")
    func roundTrip() {
        let bytes = LogDatagram.encode(
            .warning, component: "netd", process: 77, text: "vmnic0: link down [really]: yes")
        #expect(
            LogDatagram.parse(bytes, time: 5) == [
                LogRecord(
                    time: 5, severity: .warning, component: "netd", process: 77, text: "vmnic0: link down [really]: yes"
                )
            ])
    }

    @Test("each line is a record, and control characters do not reach the log")
    func lines() {
        let records = LogDatagram.parse(Array("<3>a: one\n\ntwo\u{1b}[2J\r\n".utf8), time: 0)
        #expect(records.map(\.text) == ["one", "two [2J "])
        #expect(records.allSatisfy { $0.severity == .error && $0.component == "a" && $0.process == 0 })
    }

    @Test(
        "what has another form is kept as it is",
        arguments: [
            "hello", "<8>a: x", "<3>: x", "<3>a b: x", "<3>a[x]: y", "<3>a[1: y", "<3>a:x", "<3>a[4294967296]: x",
        ])
    func foreign(text: String) {
        let record = LogDatagram.parse(Array(text.utf8), time: 0).first
        #expect(record?.component == "unknown")
        #expect(record?.text == text)
        #expect(record?.severity == .notice)
    }

    @Test("length and number of lines are bounded")
    func bounds() {
        let long = LogDatagram.parse([UInt8](repeating: 0xff, count: 60_000), time: 0)
        #expect((long.first?.text.utf8.count ?? 0) <= LogRecord.textMax)
        let many = LogDatagram.parse(Array(String(repeating: "a\n", count: 1000).utf8), time: 0)
        #expect(many.count == LogDatagram.linesMax)
    }

    @Test("a flood is held back, counted, and lets others through again after a while")
    func rate() {
        var rate = LineRate()
        var admitted = 0
        for _ in 0..<10_000 where rate.admit(now: 1_000_000_000) { admitted += 1 }
        #expect(admitted == Int(LineRate.burst))
        #expect(rate.suppressed == 10_000 - LineRate.burst)
        let isAdmitted = rate.admit(now: 1_100_000_000)
        #expect(isAdmitted)
        let missing = rate.takeSuppressed()
        #expect(missing == 10_000 - LineRate.burst)
        #expect(rate.suppressed == 0)
    }
}
