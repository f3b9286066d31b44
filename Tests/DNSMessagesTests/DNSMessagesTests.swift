import Addresses
import Testing

@testable import DNSMessages

@Suite("Domain names")
struct DomainNameTests {
    @Test("host names are read, capitals and a last dot make no difference")
    func text() {
        #expect(DomainName("WWW.Example.org.") == DomainName("www.example.org"))
        #expect(DomainName("esx_1")?.bytes == [5] + Array("esx_1".utf8) + [0])
        #expect(DomainName("A.b").map { "\($0)" } == "a.b")
    }

    @Test(
        "what cannot be a host's name is refused",
        arguments: [
            "", ".", "a..b", ".a", "a b", "ü.org", String(repeating: "x", count: 64),
            String(repeating: "a.", count: 128) + "a",
        ])
    func refused(text: String) { #expect(DomainName(text) == nil) }

    @Test("pointers lead backwards only, so that none leads in circles")
    func pointers() {
        let message: [UInt8] = [0, 3] + Array("org".utf8) + [0, 3] + Array("www".utf8) + [0xc0, 1, 0xc0, 6]
        var offset = 6
        #expect(DomainName.read(message, at: &offset) == DomainName("www.org"))
        #expect(offset == 12)
        #expect(DomainName.read(message, at: &offset) == DomainName("www.org"))
        #expect(offset == 14)
        for loop: [UInt8] in [
            [0xc0, 0], [1, 97, 0xc0, 0], [0xc0, 2, 0xc0, 0], [0xff, 0xff], [0xc0], [0x80, 0], [64],
        ] {
            var offset = 0
            #expect(DomainName.read(loop, at: &offset) == nil)
        }
    }

    @Test("a name of many pieces is not longer than a name may be")
    func long() {
        // Each step jumps to the one before, with four more bytes.
        var message: [UInt8] = [0]
        var starts = [0]
        for _ in 0..<100 {
            let target = starts[starts.count - 1]
            starts.append(message.count)
            message += [3, 97, 98, 99, 0xc0 | UInt8(target >> 8), UInt8(target & 255)]
        }
        var offset = starts[60]
        #expect(DomainName.read(message, at: &offset)?.labels.count == 60)
        offset = starts[70]
        #expect(DomainName.read(message, at: &offset) == nil)
    }
}

/// Builds answers.
struct AnswerBuilder {
    var bytes: [UInt8]
    private var count: UInt8 = 0

    init(_ question: DNSQuestion, identifier: UInt16 = 7, flags: [UInt8] = [0x81, 0x80]) {
        bytes = question.message(identifier: identifier)
        bytes[2] = flags[0]
        bytes[3] = flags[1]
    }

    mutating func add(_ owner: String, _ type: UInt16, _ data: [UInt8]) {
        count += 1
        bytes[7] = count
        bytes += DomainName(owner)?.bytes ?? []
        bytes += [0, UInt8(type), 0, 1, 0, 0, 0, 60, 0, UInt8(data.count)] + data
    }
}

@Suite("DNS answers")
struct DNSAnswerTests {
    private let question: DNSQuestion

    init() throws { question = DNSQuestion(try #require(DomainName("www.example.org")), .a) }

    private func answer(_ builder: AnswerBuilder) -> DNSAnswer? {
        DNSAnswer(builder.bytes, to: question, identifier: 7)
    }

    @Test("a question is as RFC 1035 has it")
    func golden() {
        #expect(
            question.message(identifier: 0x1234)
                == [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 3] + Array("www".utf8) + [7] + Array("example".utf8) + [3]
                + Array("org".utf8) + [0, 0, 1, 0, 1])
        #expect("\(DNSQuestion.name(of: IPv4Address(10, 0, 2, 3))!.name)" == "3.2.0.10.in-addr.arpa")
        #expect(DNSQuestion.name(of: IPv6Address("fe80::1")!)!.name.labels.count == 34)
    }

    @Test("addresses are found behind other names, in whatever order")
    func aliases() {
        var builder = AnswerBuilder(question)
        builder.add("c.example.org", 1, [10, 0, 0, 1])
        builder.add("b.example.org", 5, DomainName("c.example.org")!.bytes)
        builder.add("www.example.org", 5, DomainName("b.example.org")!.bytes)
        builder.add("other.org", 1, [6, 6, 6, 6])
        #expect(answer(builder)?.values == [.ipv4(IPv4Address(10, 0, 0, 1))])
        #expect(answer(builder)?.canonicalName == nil)
    }

    @Test("another name without its address is given back; names in circles end")
    func dangling() {
        var builder = AnswerBuilder(question)
        builder.add("www.example.org", 5, DomainName("b.example.org")!.bytes)
        #expect(answer(builder)?.canonicalName == DomainName("b.example.org"))
        builder.add("b.example.org", 5, DomainName("www.example.org")!.bytes)
        #expect(answer(builder)?.values == [])
    }

    @Test("an answer to another question, with another number, or none at all is not taken")
    func foreign() {
        var builder = AnswerBuilder(question)
        builder.add("www.example.org", 1, [10, 0, 0, 1])
        #expect(DNSAnswer(builder.bytes, to: question, identifier: 8) == nil)
        #expect(DNSAnswer(builder.bytes, to: DNSQuestion(question.name, .aaaa), identifier: 7) == nil)
        #expect(DNSAnswer(builder.bytes, to: DNSQuestion(DomainName("x")!, .a), identifier: 7) == nil)
        #expect(answer(AnswerBuilder(question, flags: [0x01, 0])) == nil)
        for count in 0..<33 {
            #expect(DNSAnswer(Array(builder.bytes.prefix(count)), to: question, identifier: 7) == nil)
        }
        #expect(DNSAnswer(Array(builder.bytes.dropLast()), to: question, identifier: 7)?.values == [])
    }

    @Test("error codes and truncation are told")
    func codes() {
        #expect(answer(AnswerBuilder(question, flags: [0x81, 0x83]))?.code == .nameError)
        #expect(answer(AnswerBuilder(question, flags: [0x83, 0x80]))?.isTruncated == true)
        #expect(answer(AnswerBuilder(question, flags: [0x81, 0x8f]))?.code == .other)
    }
}
