import Bytes
public import Linux
public import Log

/// The latest lines of one log, in a file in memory that outlives the process: whoever opens it next goes on where this one
/// was ended, even in the middle of a line.
///
/// The file: 64 bytes of header, then `capacity` bytes used around and around. Positions count all bytes ever written;
/// where one lies is its remainder by the capacity. Little-endian:
///
///     header   0  u64  magic
///              8  u64  capacity
///             16  u64  tail: the position of the oldest record
///             24  u64  head: the position behind the newest
///             32  u64  number of the oldest record
///             40  u64  a number that the owner wants to find again
///     record   0  u32  length of the whole record, a multiple of 8
///              4  u32  checksum of all that follows (FNV-1a)
///              8  u64  number
///             16  u64  time
///             24  u32  process
///             28  u16  length of the text
///             30  u8   severity
///             31  u8   length of the component
///             32       component, text, zeros to the next multiple of 8
///
/// Room is made (tail moves) before a record is written, and head moves after it: at any moment everything from tail to head is
/// whole.
public final class LogRing {
    private static let magic: UInt64 = 0x676f_6c72_6566_6177  // "wafrelog"
    private static let headerSize = 64
    private static let recordHeader = 32
    /// The smallest capacity: several of the longest records.
    public static let capacityMin = 64 << 10

    private let file: Descriptor
    private let capacity: UInt64
    private var tail: UInt64 = 0
    private var head: UInt64 = 0
    /// Where each record that is kept begins, oldest first; those before `dropped` are gone.
    private var positions: [UInt64] = []
    private var dropped = 0
    /// The number of the oldest line that is kept.
    public private(set) var first: UInt64 = 0
    /// A number that the owner wants to find again.
    public private(set) var mark: UInt64 = 0

    /// The number that the next line gets.
    public var next: UInt64 { first &+ UInt64(positions.count - dropped) }

    /// Opens the file, or makes it. What it holds is checked, and used up to the first thing that is wrong.
    ///
    /// - Parameter capacity: in bytes, at least `capacityMin`. A file of another capacity begins anew.
    public init(_ path: String, capacity: Int) throws(SystemError) {
        self.capacity = UInt64(max(capacity, Self.capacityMin))
        file = try Descriptor(opening: path, [.readWrite, .create], permissions: 0o600)
        let size = Int64(Self.headerSize) + Int64(self.capacity)
        let header = try file.contents(upTo: Self.headerSize, path)
        if !recover(header) {
            (tail, head, first, mark) = (0, 0, 0, 0)
            (positions, dropped) = ([], 0)
        }
        try file.resize(to: size, path)
        try writeHeader()
    }

    // MARK: Writing

    /// Adds a line, over the oldest ones if there is no room.
    ///
    /// - Parameter mark: stored along with it.
    public func append(_ record: LogRecord, mark: UInt64? = nil) throws(SystemError) {
        let bytes = encode(record, number: next)
        let end = head + UInt64(bytes.count)
        while end - tail > capacity {
            let index = dropped + 1
            first &+= 1
            dropped = index
            tail = index < positions.count ? positions[index] : head
        }
        if dropped > 1024, dropped > positions.count / 2 {
            positions.removeFirst(dropped)
            dropped = 0
        }
        try writeHeader()
        try write(bytes, at: head)
        positions.append(head)
        head = end
        if let mark { self.mark = mark }
        try writeHeader()
    }

    private func encode(_ record: LogRecord, number: UInt64) -> [UInt8] {
        let component = Array(record.component.utf8.prefix(LogRecord.componentMax))
        let text = Array(record.text.utf8.prefix(LogRecord.textMax))
        var body = ByteWriter()
        body.little(number)
        body.little(record.time)
        body.little(record.process)
        body.little(UInt16(truncatingIfNeeded: text.count))
        body.little(record.severity.rawValue)
        body.little(UInt8(truncatingIfNeeded: component.count))
        body.append(component)
        body.append(text)
        body.align(to: 8)
        var whole = ByteWriter()
        whole.little(UInt32(truncatingIfNeeded: body.count + 8))
        whole.little(Self.checksum(body.bytes[...]))
        whole.append(body.bytes)
        return whole.bytes
    }

    private func writeHeader() throws(SystemError) {
        var writer = ByteWriter()
        for field in [Self.magic, capacity, tail, head, first, mark] { writer.little(field) }
        try file.write(writer.bytes, at: 0, "log")
    }

    private func write(_ bytes: [UInt8], at position: UInt64) throws(SystemError) {
        let offset = Int(position % capacity)
        let room = min(bytes.count, Int(capacity) - offset)
        try file.write(Array(bytes[..<room]), at: Int64(Self.headerSize + offset), "log")
        if room < bytes.count { try file.write(Array(bytes[room...]), at: Int64(Self.headerSize), "log") }
    }

    // MARK: Reading

    /// Lines from a number on; those that are gone are left out.
    ///
    /// - Parameter limit: how many bytes of text and names at most; one line is read in any case.
    public func lines(from number: UInt64, count: Int, limit: Int = 256 << 10) -> [(number: UInt64, record: LogRecord)]
    {
        var number = max(number, first)
        var lines: [(number: UInt64, record: LogRecord)] = []
        var size = 0
        while number < next, lines.count < count {
            guard let (record, _) = record(at: positions[dropped + Int(number - first)], number: number) else { break }
            size += record.text.utf8.count + record.component.utf8.count + 64
            if size > limit, !lines.isEmpty { break }
            lines.append((number, record))
            number += 1
        }
        return lines
    }

    private func read(_ count: Int, at position: UInt64) -> [UInt8]? {
        let offset = Int(position % capacity)
        let room = min(count, Int(capacity) - offset)
        guard var bytes = try? file.contents(upTo: room, at: Int64(Self.headerSize + offset)), bytes.count == room
        else {
            return nil
        }
        if room < count {
            guard let rest = try? file.contents(upTo: count - room, at: Int64(Self.headerSize)) else { return nil }
            bytes += rest
        }
        return bytes.count == count ? bytes : nil
    }

    /// The record at a position if it is whole and has this number (any number if nil), and where the next one begins.
    private func record(at position: UInt64, number: UInt64?) -> (record: LogRecord, end: UInt64)? {
        guard let start = read(8, at: position) else { return nil }
        var reader = ByteReader(start.span)
        guard let length = try? reader.little(UInt32.self), let checksum = try? reader.little(UInt32.self),
            length >= Self.recordHeader, length <= UInt32(Self.recordHeader + LogRecord.textMax + 64),
            let body = read(Int(length) - 8, at: position + 8), Self.checksum(body[...]) == checksum
        else { return nil }
        return Self.decode(body, number: number).map { ($0, position + UInt64(length)) }
    }

    private static func decode(_ body: [UInt8], number: UInt64?) -> LogRecord? {
        var reader = ByteReader(body.span)
        do throws(OutOfBounds) {
            let found = try reader.little(UInt64.self)
            let time = try reader.little(UInt64.self)
            let process = try reader.little(UInt32.self)
            let textLength = try reader.little(UInt16.self)
            let severity = try reader.little(UInt8.self)
            let componentLength = try reader.little(UInt8.self)
            let component = try reader.array(Int(componentLength))
            let text = try reader.array(Int(textLength))
            guard number == nil || found == number, let severity = LogSeverity(rawValue: severity) else { return nil }
            return LogRecord(
                time: time, severity: severity, component: String(decoding: component, as: UTF8.self),
                process: process, text: String(decoding: text, as: UTF8.self))
        } catch { return nil }
    }

    // MARK: Recovery

    /// - Returns: false if there is nothing to go on with.
    private func recover(_ header: [UInt8]) -> Bool {
        var reader = ByteReader(header.span)
        do throws(OutOfBounds) {
            let magic = try reader.little(UInt64.self)
            let size = try reader.little(UInt64.self)
            guard magic == Self.magic, size == capacity else { return false }
            tail = try reader.little()
            head = try reader.little()
            first = try reader.little()
            mark = try reader.little()
        } catch { return false }
        guard tail <= head, head - tail <= capacity, head < UInt64.max / 2, first < UInt64.max / 2 else { return false }
        var position = tail
        while position < head, let (_, end) = record(at: position, number: next), end <= head {
            positions.append(position)
            position = end
        }
        head = position
        return true
    }

    /// FNV-1a, 32 bits: finds what was torn; nobody but root can write here.
    private static func checksum(_ bytes: ArraySlice<UInt8>) -> UInt32 {
        bytes.reduce(0x811c_9dc5) { ($0 ^ UInt32($1)) &* 0x0100_0193 }
    }
}
