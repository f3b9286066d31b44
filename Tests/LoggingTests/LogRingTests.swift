import Linux
import Log
import TestFiles
import Testing

@testable import Logging

@Suite("Log ring")
struct LogRingTests {
    private func record(_ number: Int, length: Int = 100) -> LogRecord {
        let text = "\(number) " + String(repeating: "x", count: length)
        return LogRecord(time: UInt64(number), severity: .info, component: "test", process: 9, text: text)
    }

    @Test("the newest lines are there after many more than fit, with their numbers")
    func wraps() throws {
        try withTemporaryDirectory { directory in
            let ring = try LogRing("\(directory)/ring", capacity: 0)
            for number in 0..<5000 { try ring.append(record(number, length: number % 700)) }
            #expect(ring.next == 5000)
            #expect(ring.first > 4000 && ring.first < 4950)
            let lines = ring.lines(from: 0, count: 10_000)
            #expect(lines.map(\.number) == Array(ring.first..<5000))
            #expect(lines.allSatisfy { $0.record == record(Int($0.number), length: Int($0.number) % 700) })
        }
    }

    @Test("whoever opens it next goes on where it was left", arguments: [1, 10, 900, 5000])
    func reopens(count: Int) throws {
        try withTemporaryDirectory { directory in
            let path = "\(directory)/ring"
            let ring = try LogRing(path, capacity: 0)
            for number in 0..<count { try ring.append(record(number), mark: UInt64(number) + 7) }
            let again = try LogRing(path, capacity: 0)
            #expect(again.first == ring.first)
            #expect(again.next == UInt64(count))
            #expect(again.mark == UInt64(count) + 6)
            try again.append(record(count))
            #expect(again.lines(from: UInt64(count), count: 1).first?.record == record(count))
            #expect(again.lines(from: 0, count: 10_000).count == Int(again.next - again.first))
        }
    }

    @Test("a damaged ring opens, with the lines before the damage or none", arguments: 0..<60)
    func damage(seed: Int) throws {
        try withTemporaryDirectory { directory in
            let path = "\(directory)/ring"
            let ring = try LogRing(path, capacity: 0)
            for number in 0..<2000 { try ring.append(record(number)) }
            let file = try Descriptor(opening: path, .readWrite)
            let offset = seed < 20 ? seed * 3 : (seed * 7919) % LogRing.capacityMin
            try file.write([0xa5, 0x5a, UInt8(seed)], at: Int64(offset))
            let again = try LogRing(path, capacity: 0)
            for line in again.lines(from: 0, count: 10_000) where line.number < 2000 {
                #expect(line.record.text.hasSuffix("xxx"))
            }
            let next = again.next
            try again.append(record(1))
            #expect(again.lines(from: next, count: 1).first?.record == record(1))
        }
    }

    @Test("one answer's size is bounded, and the next one goes on")
    func limit() throws {
        try withTemporaryDirectory { directory in
            let ring = try LogRing("\(directory)/ring", capacity: 1 << 20)
            for number in 0..<100 { try ring.append(record(number, length: 5000)) }
            let part = ring.lines(from: 0, count: 1000, limit: 20_000)
            #expect(part.count == 3)
            #expect(ring.lines(from: 3, count: 1, limit: 1).map(\.number) == [3])
        }
    }
}
