import Addresses
import DNSMessages
import Testing

@testable import Resolver

private let first = IPv4Address(10, 0, 0, 1)
private let second = IPv4Address(10, 0, 0, 2)

@Suite("Looking names up")
struct LookupTests {
    private let settings = ResolverSettings(servers: [first, second], searchDomains: ["lab.org", "org"])

    private func answer(_ question: DNSQuestion, flags: [UInt8] = [0x81, 0x80], _ address: [UInt8]? = nil) -> DNSAnswer?
    {
        var bytes = question.message(identifier: 1)
        bytes[2] = flags[0]
        bytes[3] = flags[1]
        if let address {
            bytes[7] = 1
            bytes +=
                question.name.bytes + [0, UInt8(question.type.rawValue), 0, 1, 0, 0, 0, 1, 0, UInt8(address.count)]
            bytes += address
        }
        return DNSAnswer(bytes, to: question, identifier: 1)
    }

    private func question(_ action: Lookup.Action) throws -> (DNSQuestion, IPv4Address, Bool) {
        guard case .ask(let question, let server, let overTCP, _) = action else {
            Issue.record("does not ask: \(action)")
            throw LookupError.noServers
        }
        return (question, server, overTCP)
    }

    @Test("a short name is tried in each search domain, then as it is; a long one the other way round")
    func search() throws {
        var short = try Lookup("esx", .ipv4Addresses, settings)
        var names: [String] = []
        var action = short.start()
        while case .ask(let question, _, _, _) = action {
            names.append("\(question.name)")
            action = short.answered(answer(question, flags: [0x81, 0x83]))
        }
        #expect(names == ["esx.lab.org", "esx.org", "esx"])
        #expect(action == .failed(.notFound("esx")))
        let long = try Lookup("a.b", .ipv4Addresses, settings)
        #expect(try "\(question(long.start()).0.name)" == "a.b")
        var absolute = try Lookup("esx.", .ipv4Addresses, settings)
        let asked = try question(absolute.start()).0
        #expect("\(asked.name)" == "esx")
        #expect(absolute.answered(answer(asked, flags: [0x81, 0x83])) == .failed(.notFound("esx.")))
    }

    @Test("IPv4 and IPv6 addresses are put together")
    func both() throws {
        var lookup = try Lookup("a.b", .addresses, settings)
        let four = try question(lookup.start()).0
        let six = try question(lookup.answered(answer(four, [1, 2, 3, 4]))).0
        #expect(six.type == .aaaa)
        let done = lookup.answered(answer(six, [UInt8](repeating: 0, count: 15) + [1]))
        #expect(done == .done([.ipv4(IPv4Address(1, 2, 3, 4)), .ipv6(try #require(IPv6Address("::1")))]))
    }

    @Test("a server that does not answer is followed by the next one, and both get a second chance")
    func servers() throws {
        var lookup = try Lookup("a.b", .ipv4Addresses, settings)
        var asked: [IPv4Address] = []
        var action = lookup.start()
        while case .ask(_, let server, _, _) = action {
            asked.append(server)
            action = lookup.answered(nil)
        }
        #expect(asked == [first, second, first, second])
        #expect(action == .failed(.noAnswer("a.b")))
    }

    @Test("a cut answer is asked for again over TCP, of the same server")
    func truncated() throws {
        var lookup = try Lookup("a.b", .ipv4Addresses, settings)
        let asked = try question(lookup.start()).0
        let again = try question(lookup.answered(answer(asked, flags: [0x83, 0x80])))
        #expect(again.0 == asked)
        #expect(again.1 == first)
        #expect(again.2)
        #expect(
            lookup.answered(answer(asked, flags: [0x83, 0x80], [1, 1, 1, 1])) == .done([.ipv4(IPv4Address(1, 1, 1, 1))])
        )
    }

    @Test("other names are followed, but not for ever")
    func aliases() throws {
        var lookup = try Lookup("a.b", .ipv4Addresses, settings)
        var action = lookup.start()
        var asked = 0
        while case .ask(let question, _, _, _) = action, asked < 100 {
            asked += 1
            var bytes = question.message(identifier: 1)
            bytes[2] = 0x81
            bytes[7] = 1
            let next = try #require(DomainName("n\(asked).b")).bytes
            bytes += question.name.bytes + [0, 5, 0, 1, 0, 0, 0, 1, 0, UInt8(next.count)] + next
            action = lookup.answered(DNSAnswer(bytes, to: question, identifier: 1))
        }
        #expect(asked < 30)
        #expect(action == .failed(.notFound("a.b")))
    }

    @Test("what is no name, and a host without servers, are told apart")
    func refused() {
        #expect(throws: LookupError.notAName("a b")) { try Lookup("a b", .addresses, settings) }
        #expect(throws: LookupError.noServers) { try Lookup("a", .addresses, ResolverSettings()) }
        #expect(LocalNames.addresses(of: "localhost") == [.ipv4(IPv4Address(127, 0, 0, 1))])
        #expect(LocalNames.addresses(of: "localhost.org") == nil)
    }
}
