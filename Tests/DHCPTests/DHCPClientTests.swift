import Addresses
import Bytes
import Testing

@testable import DHCP

private let second: UInt64 = 1_000_000_000
private let here = MACAddress(number: 0x5254_0000_0001)
private let there = MACAddress(number: 0x5254_0000_0002)
private let server = IPv4Address(10, 0, 0, 1)
private let address = IPv4Address(10, 0, 0, 50)

/// A client and its clock.
private struct Bench {
    var client: DHCPClient
    var now: UInt64 = 1000 * second
    var actions: [DHCPClient.Action] = []

    init(_ client: DHCPClient = DHCPClient(.init(macAddress: here, hostName: "esx"), seed: 1)) { self.client = client }

    @discardableResult
    mutating func send(_ event: DHCPClient.Event) -> [DHCPClient.Action] {
        actions = client.handle(event, now: now)
        return actions
    }

    /// Lets time pass until the client wants to do something.
    @discardableResult
    mutating func wait() throws -> [DHCPClient.Action] {
        now = try #require(client.deadline, "waits for nothing")
        return send(.timer)
    }

    /// The message sent last.
    func message() throws -> DHCPMessage {
        for action in actions.reversed() {
            switch action {
            case .broadcast(let message, _), .unicast(let message, _): return message
            default: continue
            }
        }
        throw Missing()
    }

    struct Missing: Error {}

    func reply(
        _ kind: DHCPMessage.Kind, seconds: UInt32 = 3600, from server: IPv4Address = server,
        _ given: IPv4Address = address
    ) -> DHCPMessage {
        var message = DHCPMessage(kind, transaction: client.transaction, macAddress: here, isReply: true)
        if kind != .refusal {
            message.yourAddress = given
            message.options.set(.leaseTime, seconds)
            message.options.set(.subnetMask, 0xffff_ff00)
        }
        message.options.set(.serverIdentifier, server.number)
        return message
    }

    /// Goes all the way to a lease.
    mutating func bind(seconds: UInt32 = 3600) throws {
        send(.linkUp)
        send(.message(reply(.offer, seconds: seconds)))
        send(.message(reply(.acknowledgement, seconds: seconds)))
        while client.state == .probing { try wait() }
        #expect(client.state == .bound)
    }
}

@Suite("DHCP client")
struct DHCPClientTests {
    @Test("asks, takes the first offer, looks whether the address is free, and uses it")
    func acquire() throws {
        var bench = Bench()
        bench.send(.linkUp)
        let discover = try bench.message()
        #expect(discover.kind == .discover)
        #expect(discover.options[.hostName] == Array("esx".utf8))
        #expect(discover.options[.clientIdentifier] == [1] + here.bytes)
        #expect(bench.client.state == .selecting)

        bench.send(.message(bench.reply(.offer)))
        let request = try bench.message()
        #expect(request.kind == .request)
        #expect(request.transaction == discover.transaction)
        #expect(request.options.address(.requestedAddress) == address)
        #expect(request.options.address(.serverIdentifier) == server)

        bench.send(.message(bench.reply(.acknowledgement)))
        var probes = 0
        while bench.client.state == .probing {
            if bench.actions.contains(.send(.probe(address, from: here))) { probes += 1 }
            try bench.wait()
        }
        #expect(probes == 3)
        guard case .configure(let lease) = bench.actions.first else {
            Issue.record("did not use the lease")
            return
        }
        #expect(lease.address == address)
        #expect(bench.actions.last == .send(.announcement(address, from: here)))
        #expect(bench.client.state == .bound)
    }

    @Test("without an answer it asks ever less often, says so once, and never stops")
    func nobody() throws {
        var bench = Bench()
        bench.send(.linkUp)
        var said = 0
        var gaps: [UInt64] = []
        for _ in 0..<12 {
            let before = bench.now
            try bench.wait()
            gaps.append((bench.now - before) / second)
            if bench.actions.contains(.noServer) { said += 1 }
            #expect(try bench.message().kind == .discover)
        }
        #expect(said == 1)
        for (gap, expected) in zip(gaps, [4, 8, 16, 32, 64, 64, 64]) {
            #expect(gap + 1 >= expected && gap <= expected + 1)
        }
    }

    @Test("an address that somebody has is declined, and asked for anew after a pause")
    func decline() throws {
        var bench = Bench()
        bench.send(.linkUp)
        bench.send(.message(bench.reply(.offer)))
        bench.send(.message(bench.reply(.acknowledgement)))
        // Its own probe, come back, is no conflict.
        bench.send(.arp(.probe(address, from: here)))
        #expect(bench.client.state == .probing)
        bench.send(.arp(.announcement(address, from: there)))
        let decline = try bench.message()
        #expect(decline.kind == .decline)
        #expect(decline.options.address(.requestedAddress) == address)
        let before = bench.now
        try bench.wait()
        #expect(bench.now - before >= 10 * second)
        #expect(try bench.message().kind == .discover)
    }

    @Test("asks its server for more time at half, any server at seven eighths, and gives up at the end")
    func renewal() throws {
        var bench = Bench()
        try bench.bind(seconds: 8000)
        let start = try #require(bench.client.held).start
        try bench.wait()
        #expect(bench.now == start + 4000 * second)
        guard case .unicast(let request, let target) = bench.actions[0] else {
            Issue.record("did not ask its server")
            return
        }
        #expect(target == server)
        #expect(request.clientAddress == address)
        #expect(request.options[.requestedAddress] == nil)
        #expect(request.options[.serverIdentifier] == nil)
        while bench.client.state == .renewing { try bench.wait() }
        #expect(bench.client.state == .rebinding)
        #expect(bench.now == start + 7000 * second)
        #expect(bench.actions.contains { if case .broadcast(_, address) = $0 { true } else { false } })
        while bench.client.state == .rebinding { try bench.wait() }
        #expect(bench.now == start + 8000 * second)
        #expect(bench.actions.first == .deconfigure)
        #expect(bench.client.state == .selecting)
    }

    @Test("more time begins when it was asked for")
    func extended() throws {
        var bench = Bench()
        try bench.bind()
        try bench.wait()
        let asked = bench.now
        bench.now += 3 * second
        bench.send(.message(bench.reply(.acknowledgement)))
        #expect(bench.client.state == .bound)
        #expect(bench.client.held?.start == asked)
        #expect(bench.client.deadline == asked + 1800 * second)
    }

    @Test("a refusal ends the lease at once")
    func refusal() throws {
        var bench = Bench()
        try bench.bind()
        try bench.wait()
        bench.send(.message(bench.reply(.refusal)))
        #expect(bench.actions.first == .deconfigure)
        #expect(try bench.message().kind == .discover)
        #expect(bench.client.held == nil)
    }

    @Test("a server that refuses again and again is asked ever less often")
    func refusals() throws {
        var bench = Bench()
        bench.send(.linkUp)
        var states: [DHCPClient.State] = []
        for _ in 0..<4 {
            if bench.client.state == .pausing { try bench.wait() }
            bench.send(.message(bench.reply(.offer)))
            bench.send(.message(bench.reply(.refusal)))
            states.append(bench.client.state)
        }
        #expect(states == [.selecting, .pausing, .pausing, .pausing])
    }

    @Test("messages of others, for others, or out of place change nothing")
    func strangers() throws {
        var bench = Bench()
        bench.send(.linkUp)
        var foreign = bench.reply(.offer)
        foreign.transaction &+= 1
        bench.send(.message(foreign))
        foreign = bench.reply(.offer)
        foreign.macAddress = there
        bench.send(.message(foreign))
        foreign = bench.reply(.offer)
        foreign.isReply = false
        bench.send(.message(foreign))
        bench.send(.message(bench.reply(.acknowledgement)))
        #expect(bench.client.state == .selecting)
        bench.send(.message(bench.reply(.offer)))
        bench.send(.message(bench.reply(.acknowledgement, from: IPv4Address(10, 0, 0, 9))))
        bench.send(.message(bench.reply(.refusal, from: IPv4Address(10, 0, 0, 9))))
        #expect(bench.client.state == .requesting)
    }

    @Test("a started-again client keeps the address, confirms it, and loses it only by a refusal")
    func restart() throws {
        var bench = Bench()
        try bench.bind()
        let message = try #require(bench.client.held).message
        let held = try #require(DHCPClient.Held(message: message, start: bench.now))
        var again = Bench(
            DHCPClient(.init(macAddress: here), held: held, isConfigured: true, seed: 9))
        again.now = bench.now + 60 * second
        again.send(.linkUp)
        #expect(again.actions.first == .configure(held.lease))
        let request = try again.message()
        #expect(request.kind == .request)
        #expect(request.options.address(.requestedAddress) == address)
        #expect(request.options[.serverIdentifier] == nil)
        #expect(request.clientAddress.number == 0)
        var silent = again
        again.send(.message(again.reply(.acknowledgement)))
        #expect(again.client.state == .bound)
        #expect(!again.actions.contains(.deconfigure))

        // Nobody answers: the lease is good till its end nevertheless.
        while silent.client.state == .rebooting { try silent.wait() }
        #expect(silent.client.state == .bound)
        #expect(silent.client.deadline == held.start + 1800 * second)
    }

    @Test("a lease that has ended meanwhile is not taken up again")
    func ended() throws {
        var bench = Bench()
        try bench.bind()
        let held = try #require(bench.client.held)
        var again = Bench(DHCPClient(.init(macAddress: here), held: held, isConfigured: true, seed: 9))
        again.now = held.end
        again.send(.linkUp)
        #expect(again.actions.first == .deconfigure)
        #expect(try again.message().kind == .discover)
    }

    @Test("without a cable the address stays until the lease ends; with it the lease is confirmed")
    func cable() throws {
        var bench = Bench()
        try bench.bind()
        bench.send(.linkDown)
        #expect(bench.actions == [])
        var pulled = bench
        try pulled.wait()
        #expect(pulled.actions == [.deconfigure])
        bench.now += 5 * second
        bench.send(.linkUp)
        #expect(bench.client.state == .rebooting)
        #expect(!bench.actions.contains(.deconfigure))
    }

    @Test("releasing tells the server and stops")
    func release() throws {
        var bench = Bench()
        try bench.bind()
        bench.send(.release)
        let message = try bench.message()
        #expect(message.kind == .release)
        #expect(message.clientAddress == address)
        #expect(bench.actions.last == .deconfigure)
        #expect(bench.client.deadline == nil)
        #expect(bench.send(.linkUp) == [])
    }

    @Test(
        "whatever comes in whatever order, time goes on and an unused address is never given up twice",
        arguments: 0..<40)
    func anything(seed: UInt64) throws {
        var chance = SplitMix64(seed: seed)
        var bench = Bench(DHCPClient(.init(macAddress: here), seed: seed))
        var isConfigured = false
        for _ in 0..<400 {
            switch chance.next() % 9 {
            case 0: bench.send(.linkUp)
            case 1: bench.send(.linkDown)
            case 2: bench.send(.message(bench.reply(.offer, seconds: 60 + UInt32(chance.next() % 4000))))
            case 3: bench.send(.message(bench.reply(.acknowledgement, seconds: 60 + UInt32(chance.next() % 4000))))
            case 4: bench.send(.message(bench.reply(.refusal)))
            case 5: bench.send(.renew)
            case 6: bench.send(.arp(.announcement(address, from: there)))
            default:
                bench.now += chance.next() % (3000 * second)
                bench.send(.timer)
            }
            for action in bench.actions {
                if case .configure = action { isConfigured = true }
                if action == .deconfigure {
                    #expect(isConfigured)
                    isConfigured = false
                }
            }
            if let held = bench.client.held, isConfigured, bench.client.state == .bound {
                #expect(held.end > bench.now)
            }
            if bench.client.state != .waitingForLink { #expect(bench.client.deadline != nil) }
        }
    }
}

@Suite("Link-local addresses")
struct LinkLocalClientTests {
    /// Runs a client until it has an address.
    private func settle(_ client: inout LinkLocalClient, _ now: inout UInt64) throws -> [LinkLocalClient.Action] {
        var all = client.handle(.start, now: now)
        for _ in 0..<20 where client.address == nil {
            now = try #require(client.deadline)
            all += client.handle(.timer, now: now)
        }
        return all
    }

    @Test("probes three times over some seconds, then takes the address and announces it twice")
    func take() throws {
        var client = LinkLocalClient(macAddress: here, seed: 5)
        var now: UInt64 = 0
        let actions = try settle(&client, &now)
        let taken = try #require(client.address)
        #expect(taken.isLinkLocal)
        #expect(actions.filter { $0 == .send(.probe(taken, from: here)) }.count == 3)
        #expect(now >= 4 * second && now <= 8 * second)
        now = try #require(client.deadline)
        #expect(client.handle(.timer, now: now) == [.send(.announcement(taken, from: here))])
        #expect(client.deadline == nil)
    }

    @Test("addresses that others have are left to them; after ten it goes slowly")
    func conflicts() throws {
        var client = LinkLocalClient(macAddress: here, seed: 6)
        var now: UInt64 = 0
        _ = client.handle(.start, now: now)
        var tried: Set<IPv4Address> = []
        for _ in 0..<12 {
            now = try #require(client.deadline)
            guard case .send(let probe) = client.handle(.timer, now: now).first else {
                Issue.record("does not probe")
                return
            }
            tried.insert(probe.target)
            _ = client.handle(.arp(.announcement(probe.target, from: there)), now: now)
        }
        #expect(tried.count == 12)
        #expect(try #require(client.deadline) >= now + 60 * second)
    }

    @Test("an address in use is defended once, and given up if that does not help")
    func defend() throws {
        var client = LinkLocalClient(macAddress: here, seed: 7)
        var now: UInt64 = 0
        _ = try settle(&client, &now)
        now = try #require(client.deadline)
        _ = client.handle(.timer, now: now)
        let taken = try #require(client.address)
        #expect(
            client.handle(.arp(.announcement(taken, from: there)), now: now) == [
                .send(.announcement(taken, from: here))
            ])
        now += 5 * second
        #expect(client.handle(.arp(.announcement(taken, from: there)), now: now).first == .deconfigure)
        #expect(client.address == nil)
        #expect(client.isRunning)
    }

    @Test("stopping gives the address up and remembers it")
    func stop() throws {
        var client = LinkLocalClient(macAddress: here, seed: 8)
        var now: UInt64 = 0
        _ = try settle(&client, &now)
        let taken = client.address
        #expect(client.handle(.stop, now: now) == [.deconfigure])
        _ = try settle(&client, &now)
        #expect(client.address == taken)
    }
}
