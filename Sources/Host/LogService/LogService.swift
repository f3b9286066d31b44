public import HostLink
public import Messages

/// One line of a log as the log agent shows it.
public struct LogLine: MessageField, Equatable, Sendable {
    /// Its number in its log, from 0, without gaps while the host runs.
    public var number: UInt64
    /// When it was written, in nanoseconds since 1970 (UTC).
    public var time: UInt64
    /// 0 (emergency) to 7 (debug): RFC 5424, section 6.2.1.
    public var severity: UInt8
    /// Who wrote it: `hostd`, `kernel`.
    public var component: String
    /// The writer's process ID; 0 if there is none.
    public var process: UInt32
    /// One line without control characters.
    public var text: String

    public init(number: UInt64, time: UInt64, severity: UInt8, component: String, process: UInt32, text: String) {
        self.number = number
        self.time = time
        self.severity = severity
        self.component = component
        self.process = process
        self.text = text
    }

    public func write(to writer: inout FieldWriter) {
        writer.write(number)
        writer.write(time)
        writer.write(severity)
        writer.write(component)
        writer.write(process)
        writer.write(text)
    }

    public init(from reader: inout FieldReader) throws(MessageError) {
        number = try reader.read()
        time = try reader.read()
        severity = try reader.read()
        component = try reader.read()
        process = try reader.read()
        text = try reader.read()
    }
}

/// Which logs there are. The service is at `ServiceAddress.log`.
public struct ListLogs: ServiceCall, Equatable {
    public static let kind: UInt16 = 1

    public init() {}
    public init(from reader: inout FieldReader) throws(MessageError) {}
    public func write(to writer: inout FieldWriter) {}

    /// A log and what is kept of it.
    public struct Entry: MessageField, Equatable, Sendable {
        public var name: String
        /// What it holds, for people.
        public var title: String
        /// The number of the oldest line that is kept.
        public var first: UInt64
        /// The number that the next line will have: `next - first` lines are kept.
        public var next: UInt64

        public init(name: String, title: String, first: UInt64, next: UInt64) {
            self.name = name
            self.title = title
            self.first = first
            self.next = next
        }

        public func write(to writer: inout FieldWriter) {
            writer.write(name)
            writer.write(title)
            writer.write(first)
            writer.write(next)
        }

        public init(from reader: inout FieldReader) throws(MessageError) {
            name = try reader.read()
            title = try reader.read()
            first = try reader.read()
            next = try reader.read()
        }
    }

    public typealias Answer = [Entry]
}

/// Lines of a log. Refused with `.notFound` if there is no such log.
public struct ReadLog: ServiceCall, Equatable {
    public static let kind: UInt16 = 2
    /// As `from`: the last `count` lines.
    public static let last = UInt64.max

    public var name: String
    /// The first line wanted; what is not kept any more is left out. `ReadLog.last`: count from the end.
    public var from: UInt64
    /// How many lines at most. The answer may have fewer, to stay within a message's size: ask again from `next`.
    public var count: UInt32

    public init(name: String, from: UInt64 = ReadLog.last, count: UInt32) {
        self.name = name
        self.from = from
        self.count = count
    }

    public func write(to writer: inout FieldWriter) {
        writer.write(name)
        writer.write(from)
        writer.write(count)
    }

    public init(from reader: inout FieldReader) throws(MessageError) {
        name = try reader.read()
        from = try reader.read()
        count = try reader.read()
    }

    /// Lines in order.
    public struct Answer: MessageField, Equatable, Sendable {
        /// The number of the oldest line that is kept.
        public var first: UInt64
        /// Where to read on.
        public var next: UInt64
        public var lines: [LogLine]

        public init(first: UInt64, next: UInt64, lines: [LogLine]) {
            self.first = first
            self.next = next
            self.lines = lines
        }

        public func write(to writer: inout FieldWriter) {
            writer.write(first)
            writer.write(next)
            writer.write(lines)
        }

        public init(from reader: inout FieldReader) throws(MessageError) {
            first = try reader.read()
            next = try reader.read()
            lines = try reader.read()
        }
    }
}
