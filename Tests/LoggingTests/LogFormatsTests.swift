import Linux
import Log
import TestFiles
import Testing

@testable import Logging

@Suite("Log formats")
struct LogFormatsTests {
    @Test("a kernel message is read with its severity, number and time")
    func kernelMessage() {
        let message = KernelMessage(
            Array("4,339,5140900,-,caller=T1;e1000e 0000:00:1f.6: link \\xe2\\x86\\x91 \\x1b\n SUBSYSTEM=pci\n".utf8))
        #expect(message?.severity == .warning)
        #expect(message?.isForeign == false)
        #expect(message?.sequence == 339)
        #expect(message?.microseconds == 5_140_900)
        #expect(message?.text == "e1000e 0000:00:1f.6: link ↑  ")
        #expect(KernelMessage(Array("12,1,2,-;hello".utf8))?.isForeign == true)
    }

    @Test(
        "what is no kernel message is refused",
        arguments: ["", ";", "4,1,2;x", "a,1,2,-;x", "4,,2,-;x", "4,18446744073709551616,2,-;x", "4,1,2,-"])
    func noKernelMessage(text: String) { #expect((KernelMessage(Array(text.utf8))?.text == "x") == false) }

    @Test("a message is written as RFC 5424 says")
    func syslog() {
        let record = LogRecord(
            time: 1_764_074_473_250_000_000, severity: .error, component: "hostd", process: 12, text: "disk “a” is full"
        )
        #expect(
            String(decoding: SyslogMessage.encode(record, hostName: "esx 1"), as: UTF8.self)
                == "<27>1 2025-11-25T12:41:13.250000Z esx1 hostd 12 - - disk “a” is full")
        let kernel = LogRecord(time: 0, severity: .critical, component: "kernel", process: 0, text: "x")
        #expect(
            String(decoding: SyslogMessage.counted(SyslogMessage.encode(kernel, hostName: "")), as: UTF8.self)
                == "49 <2>1 1970-01-01T00:00:00.000000Z - kernel - - - x")
    }

    @Test("a log server is a transport, a host and perhaps a port")
    func targets() {
        #expect(SyslogTarget("udp://10.0.0.1")?.description == "udp://10.0.0.1:514")
        #expect(SyslogTarget("tcp://logs.example.org:1514/")?.description == "tcp://logs.example.org:1514")
        #expect(SyslogTarget("tls://[fe80::1]")?.description == "tls://[fe80::1]:6514")
        #expect(SyslogTarget("udp://[::1]:5140")?.port == 5140)
        #expect(SyslogTarget("ssl://logs:1514") == SyslogTarget("tls://logs:1514"))
    }

    @Test(
        "what is no log server is refused",
        arguments: [
            "", "10.0.0.1", "ftp://a", "udp:/a", "udp://", "udp://:514", "udp://a:0", "udp://a:65536", "udp://a:x",
            "udp://[::1",
            "udp://a b", "udp://a/b", "udp://[::1]514",
        ])
    func noTargets(text: String) { #expect(SyslogTarget(text) == nil) }

    @Test("a queue for a server that is away keeps the newest and counts the rest")
    func queue() {
        var queue = SyslogQueue()
        for number in 0..<3000 { queue.append([UInt8](repeating: UInt8(number % 251), count: 1000)) }
        #expect(queue.lost == 3000 - UInt64(SyslogQueue.bytesMax / 1000))
        #expect(queue.first?.first == UInt8((3000 - SyslogQueue.bytesMax / 1000) % 251))
        var count = 0
        while !queue.isEmpty {
            queue.removeFirst()
            count += 1
        }
        #expect(count == SyslogQueue.bytesMax / 1000)
    }

    @Test("log files are put aside when they are full, and the oldest go")
    func files() throws {
        try withTemporaryDirectory { directory in
            let files = try LogFiles("\(directory)/logs", sizeMax: 1000)
            let record = LogRecord(
                time: 0, severity: .info, component: "hostd", process: 1, text: String(repeating: "y", count: 400))
            for _ in 0..<40 { try files.append(record) }
            let names = try listDirectory("\(directory)/logs").sorted()
            #expect(names == (0..<8).map { "hostd.\($0).log" } + ["hostd.log"])
            #expect(try readFile("\(directory)/logs/hostd.7.log").count < 1000)
            // Another process goes on with the same file.
            try LogFiles("\(directory)/logs", sizeMax: 1000).append(record)
            #expect(try listDirectory("\(directory)/logs").count == 9)
        }
    }
}
