@testable import GuestTools

/// Does what tools in a guest do, by the registers of the backdoor alone.
struct ToolsGuest {
    static let requests: UInt32 = 0x4943_5052
    static let orders: UInt32 = 0x4f4c_4354
    static let wantsCookie: UInt32 = 1 << 31

    struct Channel {
        var number: UInt16
        var cookie: (UInt32, UInt32)
    }

    let backdoor: Backdoor

    func call(_ step: UInt16, _ channel: Channel?, ebx: UInt32 = 0) -> BackdoorRegisters {
        var registers = BackdoorRegisters(
            eax: Backdoor.magic, ebx: ebx, ecx: 0x1e | UInt32(step) << 16,
            edx: 0x5658 | UInt32(channel?.number ?? 0) << 16, esi: channel?.cookie.0 ?? 0, edi: channel?.cookie.1 ?? 0)
        backdoor.serve(&registers)
        return registers
    }

    func open(_ proto: UInt32) -> Channel? {
        let answer = call(0, nil, ebx: proto)
        guard answer.ecx >> 16 & 1 != 0 else { return nil }
        return Channel(number: UInt16(answer.edx >> 16), cookie: (answer.esi, answer.edi))
    }

    func close(_ channel: Channel) -> Bool { call(6, channel).ecx >> 16 & 1 != 0 }

    /// False if a call failed.
    func send(_ text: String, _ channel: Channel) -> Bool {
        var bytes = Array(text.utf8)
        guard call(1, channel, ebx: UInt32(bytes.count)).ecx >> 16 & 1 != 0 else { return false }
        while !bytes.isEmpty {
            var word: UInt32 = 0
            for (place, byte) in bytes.prefix(4).enumerated() { word |= UInt32(byte) << (8 * UInt32(place)) }
            guard call(2, channel, ebx: word).ecx >> 16 & 1 != 0 else { return false }
            bytes.removeFirst(min(4, bytes.count))
        }
        return true
    }

    /// Nil if there is no message.
    func receive(_ channel: Channel) -> String? {
        let size = call(3, channel)
        guard size.ecx >> 16 == 3, size.edx >> 16 == 1 else { return nil }
        var bytes: [UInt8] = []
        while bytes.count < Int(size.ebx) {
            let piece = call(4, channel, ebx: 1)
            guard piece.ecx >> 16 & 1 != 0, piece.edx >> 16 == 2 else { return nil }
            for place in 0..<min(4, Int(size.ebx) - bytes.count) {
                bytes.append(UInt8(truncatingIfNeeded: piece.ebx >> (8 * UInt32(place))))
            }
        }
        guard call(5, channel, ebx: 1).ecx >> 16 & 1 != 0 else { return nil }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// One request over a channel of its own, as `vmware-rpctool` does it.
    func request(_ text: String) -> String? {
        guard let channel = open(Self.requests | Self.wantsCookie), send(text, channel) else { return nil }
        defer { _ = close(channel) }
        return receive(channel)
    }

    /// Takes the next order of the monitor, after an answer to the last one.
    func next(_ channel: Channel, after answer: String = "") -> String? {
        send(answer, channel) ? receive(channel) : nil
    }
}
