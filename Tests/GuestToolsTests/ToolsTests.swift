import Synchronization
import Testing

@testable import GuestTools

/// A clock that the test moves.
private final class Clock: Sendable {
    let nanoseconds = Atomic<UInt64>(1_000_000_000)
    func pass(seconds: UInt64) { nanoseconds.wrappingAdd(seconds * 1_000_000_000, ordering: .relaxed) }
}

@Suite("Tools in the guest")
struct ToolsTests {
    private let clock: Clock
    private let log: LogLines
    private let backdoor: Backdoor
    private let guest: ToolsGuest

    private final class LogLines: Sendable { let lines = Mutex<[String]>([]) }

    init() {
        let (clock, log) = (Clock(), LogLines())
        var facts = BackdoorTests.facts
        facts.variables = ["Seed": "from the file"]
        facts.synchronizesTime = true
        backdoor = Backdoor(
            facts, log: { line in log.lines.withLock { $0.append(line) } },
            uptime: { clock.nanoseconds.load(ordering: .relaxed) })
        (self.clock, self.log) = (clock, log)
        guest = ToolsGuest(backdoor: backdoor)
    }

    /// Brings the main service to where it waits for orders.
    private func start() throws -> ToolsGuest.Channel {
        let channel = try #require(guest.open(ToolsGuest.orders))
        #expect(guest.next(channel) == "reset")
        #expect(guest.next(channel, after: "OK ATR toolbox") == "Capabilities_Register")
        #expect(guest.next(channel, after: "OK ") == "Set_Option synctime 1")
        #expect(guest.next(channel, after: "OK ") == "Set_Option broadcastIP 1")
        #expect(guest.next(channel, after: "OK ") == nil)
        return channel
    }

    @Test("what the guest says of itself is kept: version, address, names")
    func report() {
        #expect(backdoor.report == ToolsReport())
        for request in [
            "vmx.capability.unified_loop toolbox", "tools.set.version 12325", "tools.capability.statechange",
            "info-set guestinfo.ip 192.0.2.7", "SetGuestInfo  1 web01.example.org\0",
            "SetGuestInfo  5 Debian GNU/Linux 12 (bookworm)", "SetGuestInfo  10 \u{1}\u{2}\u{3}",
        ] { #expect(guest.request(request) == "1 ", "\(request)") }
        let report = backdoor.report
        #expect(report.version == 12325 && report.address == "192.0.2.7")
        #expect(report.hostName == "web01.example.org" && report.systemName == "Debian GNU/Linux 12 (bookworm)")
        #expect(report.heartbeatAge == nil)
        backdoor.reset()
        #expect(backdoor.report == ToolsReport())
    }

    @Test("variables are read as the guest or the machine's file set them")
    func variables() {
        #expect(guest.request("info-get guestinfo.seed") == "1 from the file")
        #expect(guest.request("info-get guestinfo.other") == "0 No value found")
        #expect(guest.request("info-get displayName") == "0 No value found")
        #expect(guest.request("info-set guestinfo.Other two words") == "1 ")
        #expect(guest.request("info-get guestinfo.other") == "1 two words")
        #expect(guest.request("info-set guestinfo.seed") == "1 ")
        #expect(guest.request("info-get guestinfo.seed") == "1 ")
        backdoor.reset()
        #expect(guest.request("info-get guestinfo.seed") == "1 from the file")
    }

    @Test("a guest keeps a bounded number of variables of a bounded size, and can change one at the bound")
    func bounds() {
        var kept = 0
        for number in 0..<1000 where guest.request("info-set guestinfo.v\(number) x") == "1 " { kept += 1 }
        // One is the file's.
        #expect(kept == ToolsEndpoint.variablesMax - 1)
        #expect(guest.request("info-set guestinfo.v0 y") == "1 ")
        let long = String(repeating: "z", count: 60 << 10)
        let taken = (0..<4).map { guest.request("info-set guestinfo.v\($0) \(long)") == "1 " }
        #expect(taken == [true, true, false, false])
        #expect(guest.request("info-set guestinfo.\(String(repeating: "n", count: 200)) x")?.hasPrefix("0 ") == true)
    }

    @Test("an unknown request is refused, a line for the log has no control characters")
    func others() {
        #expect(guest.request("unity.show.taskbar 1") == "0 Unknown command")
        #expect(guest.request("") == "0 Unknown command")
        #expect(guest.request("log toolbox: \u{1b}[2J hello") == "1 ")
        #expect(log.lines.withLock { $0 } == ["toolbox: ?[2J hello"])
    }

    @Test("the main service is asked to halt and to reboot, and nobody is before it runs")
    func orders() throws {
        #expect(!backdoor.ask(.halt))
        let channel = try start()
        #expect(backdoor.report.heartbeatAge == 0)
        #expect(backdoor.ask(.halt) && backdoor.ask(.halt))
        #expect(guest.next(channel) == "OS_Halt")
        #expect(guest.next(channel, after: "OK ") == nil)
        #expect(backdoor.ask(.reboot) && backdoor.ask(.synchronizeTime))
        #expect(guest.next(channel) == "OS_Reboot")
        #expect(guest.next(channel, after: "OK ") == "Time_Synchronize 1")
        #expect(guest.close(channel))
        #expect(!backdoor.ask(.halt))
        #expect(backdoor.report.heartbeatAge == nil)
    }

    @Test("orders for the main service do not go to the desktop's helper")
    func twoServices() throws {
        let helper = try #require(guest.open(ToolsGuest.orders))
        #expect(guest.next(helper) == "reset")
        #expect(guest.next(helper, after: "OK ATR toolbox-dnd") == "Capabilities_Register")
        #expect(!backdoor.ask(.halt))
        let channel = try start()
        #expect(backdoor.ask(.halt))
        #expect(guest.next(helper, after: "OK ") == nil)
        #expect(guest.next(channel) == "OS_Halt")
    }

    @Test("a service that is asked nothing is pinged, and one that is silent does not run")
    func heartbeat() throws {
        let channel = try start()
        clock.pass(seconds: 5)
        #expect(backdoor.report.heartbeatAge == 5000)
        #expect(guest.next(channel) == nil)
        clock.pass(seconds: 11)
        #expect(guest.next(channel, after: "") != nil)
        clock.pass(seconds: 21)
        #expect(backdoor.report.heartbeatAge == nil)
        #expect(!backdoor.ask(.halt))
    }

    @Test("channels are few, and each answers to its own cookie only")
    func channels() throws {
        #expect(guest.open(0x1234) == nil)
        var channels: [ToolsGuest.Channel] = []
        while let channel = guest.open(ToolsGuest.requests | ToolsGuest.wantsCookie), channels.count < 100 {
            channels.append(channel)
        }
        #expect(channels.count == MessageChannels.channelsMax)
        var stolen = channels[1]
        stolen.cookie = channels[0].cookie
        #expect(!guest.send("log x", stolen) && !guest.close(stolen))
        #expect(guest.send("log x", channels[1]) && guest.close(channels[1]))
        #expect(!guest.close(channels[1]))
        #expect(guest.open(ToolsGuest.requests) != nil)
    }

    @Test("calls out of turn fail and do no harm")
    func outOfTurn() throws {
        let channel = try #require(guest.open(ToolsGuest.requests))
        #expect(guest.call(2, channel, ebx: 1).ecx >> 16 == 0)
        #expect(guest.call(4, channel).ecx >> 16 == 0)
        #expect(guest.call(1, channel, ebx: UInt32(MessageChannels.messageMax) + 1).ecx >> 16 == 0)
        #expect(guest.call(7, channel).ecx >> 16 == 0)
        var unknown = channel
        unknown.number = 0xffff
        #expect(guest.call(1, unknown, ebx: 4).ecx >> 16 == 0)
        #expect(guest.send("tools.set.version 7", channel))
        #expect(guest.receive(channel) == "1 ")
    }
}
