import Log
import Logging

/// A message to the log agent from whomever.
func fuzzLogDatagram(_ bytes: [UInt8]) {
    let records = LogDatagram.parse(bytes, time: 1)
    check(records.count <= LogDatagram.linesMax, "the number of lines is bounded")
    for record in records {
        check(record.text.utf8.count <= LogRecord.textMax, "a line's length is bounded")
        check(!record.text.utf8.contains { $0 < 32 || $0 == 127 }, "no control character reaches the log")
        check(LogRecord.component(record.component.utf8) == record.component, "a component is a name")
        let again = LogDatagram.encode(
            record.severity, component: record.component, process: record.process, text: record.text)
        check(LogDatagram.parse(again, time: 1) == [record], "what was written reads the same")
        let message = SyslogMessage.encode(record, hostName: "host")
        check(message.count <= LogRecord.textMax + 256, "a message's length is bounded")
    }
}

/// A record of /dev/kmsg.
func fuzzKernelMessage(_ bytes: [UInt8]) {
    guard let message = KernelMessage(bytes) else { return }
    check(message.text.utf8.count <= LogRecord.textMax, "a line's length is bounded")
    check(!message.text.utf8.contains { $0 < 32 || $0 == 127 }, "no control character reaches the log")
}
