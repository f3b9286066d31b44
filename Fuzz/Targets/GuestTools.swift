import GuestTools
import Synchronization

/// The backdoor and what tools say through it: each command is a byte that says what the guest does, and its parameters.
/// Message calls are frequent, and whole messages can be sent with one command, so that inputs get to the words in them.
func fuzzGuestTools(_ bytes: [UInt8]) {
    var feed = Feed(bytes)
    var facts = Backdoor.MachineFacts(
        uuid: Array(0..<16), memoryMegabytes: 64, timeStampFrequency: 2_000_000_000)
    facts.variables = ["seed": "value"]
    let clock = FuzzClock()
    let backdoor = Backdoor(
        facts,
        log: { line in
            check(line.utf8.count <= 1024, "a line for the log is bounded")
            check(line.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7f }, "it is one line")
        }, now: { (1_700_000_000, 0) }, uptime: { clock.time.load(ordering: .relaxed) })
    var cookies = [(UInt32, UInt32)](repeating: (0, 0), count: 8)

    func call(_ step: UInt8, _ channel: UInt8, _ ebx: UInt32) -> BackdoorRegisters {
        let cookie = cookies[Int(channel & 7)]
        var registers = BackdoorRegisters(
            eax: Backdoor.magic, ebx: ebx, ecx: 0x1e | UInt32(step) << 16, edx: 0x5658 | UInt32(channel) << 16,
            esi: cookie.0, edi: cookie.1)
        backdoor.serve(&registers)
        check(registers.ecx & 0xffff == 0x1e && registers.eax == Backdoor.magic, "the command stays in its half")
        return registers
    }
    func open(_ proto: UInt32) {
        let answer = call(0, 0, proto)
        if answer.ecx >> 16 & 1 != 0 { cookies[Int(answer.edx >> 16 & 7)] = (answer.esi, answer.edi) }
    }
    func receive(_ channel: UInt8) {
        let size = call(3, channel, 0)
        guard size.ecx >> 16 == 3 else { return }
        check(size.ebx <= 256 << 10, "an answer is bounded")
        var left = size.ebx
        while left > 0 {
            check(call(4, channel, 1).ecx >> 16 == 1, "a message has as many bytes as it says")
            left -= min(4, left)
        }
        check(call(4, channel, 1).ecx >> 16 == 0, "and no more")
        check(call(5, channel, 1).ecx >> 16 == 1, "its end can be acknowledged")
    }

    while !feed.isAtEnd {
        switch feed.byte() & 15 {
        case 0: open(0xc943_5052)
        case 1: open(0xcf4c_4354)
        case 2: open(feed.long())
        case 3, 4: _ = call(feed.byte(), feed.byte(), feed.long())
        case 5, 6, 7, 8:
            let channel = feed.byte() & 7
            var text: [UInt8] = []
            for _ in 0..<feed.byte() where !feed.isAtEnd { text.append(feed.byte()) }
            guard call(1, channel, UInt32(text.count)).ecx >> 16 == 1 else { continue }
            for start in stride(from: 0, to: text.count, by: 4) {
                var word: UInt32 = 0
                for (place, byte) in text[start...].prefix(4).enumerated() {
                    word |= UInt32(byte) << (8 * UInt32(place))
                }
                check(call(2, channel, word).ecx >> 16 == 1, "what was announced can be sent")
            }
            receive(channel)
        case 9: receive(feed.byte() & 7)
        case 10: _ = call(6, feed.byte() & 7, 0)
        case 11: clock.time.wrappingAdd(UInt64(feed.byte()) * 1_000_000_000, ordering: .relaxed)
        case 12: _ = backdoor.ask([.halt, .reboot, .synchronizeTime][Int(feed.byte()) % 3])
        case 13: backdoor.reset()
        default:
            var registers = BackdoorRegisters(
                eax: feed.byte() & 7 == 0 ? feed.long() : Backdoor.magic, ebx: feed.long(), ecx: feed.long(),
                edx: feed.long(), esi: feed.long(), edi: feed.long())
            backdoor.serve(&registers)
        }
        let report = backdoor.report
        for text in [report.address, report.hostName, report.systemName] {
            check(text.utf8.count <= 1024, "what is kept of a guest's word is bounded")
            check(text.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7f }, "it is printable")
        }
    }
    backdoor.reset()
    check(backdoor.report == ToolsReport(), "a reset forgets everything")
}

private final class FuzzClock: Sendable { let time = Atomic<UInt64>(0) }
