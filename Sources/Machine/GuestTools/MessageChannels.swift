/// The message command of the backdoor: channels over which guest and monitor send each other messages, four bytes a call
/// (open-vm-tools, `lib/message/message.c` and `lib/include/guest_msg_def.h`).
///
/// Everything here is a guest's word: channels are few, messages are bounded, and a call out of turn fails without effect.
struct MessageChannels: Sendable {
    /// As many as VMware's.
    static let channelsMax = 8
    /// What a guest may send in one message.
    static let messageMax = 64 << 10

    private enum Step {
        static let open: UInt16 = 0
        static let sendSize: UInt16 = 1
        static let sendPayload: UInt16 = 2
        static let receiveSize: UInt16 = 3
        static let receivePayload: UInt16 = 4
        static let receiveStatus: UInt16 = 5
        static let close: UInt16 = 6
    }

    /// Bits of the answer in the high half of ECX.
    private enum Status {
        static let failed: UInt16 = 0
        static let success: UInt16 = 1
        /// There is a message to receive.
        static let hasMessage: UInt16 = 2
    }

    /// What the high half of EDX says that EBX holds.
    private enum Content {
        static let size: UInt16 = 1
        static let payload: UInt16 = 2
    }

    /// "RPCI": the guest asks, the monitor answers.
    private static let requestsProtocol: UInt32 = 0x4943_5052
    /// "TCLO": the monitor asks, the guest answers. It sends the answer to the last order, or nothing, to hear the next.
    private static let ordersProtocol: UInt32 = 0x4f4c_4354
    /// The guest wants a cookie, to be repeated with every call, so that no other process takes over its channel.
    private static let wantsCookie: UInt32 = 1 << 31

    private struct Channel: Sendable {
        /// Nil where the guest asks.
        var orders: OrderQueue?
        /// Nil if the guest wanted none.
        var cookie: (high: UInt32, low: UInt32)?
        /// Bytes of the guest's message that are still to come; nil between messages.
        var expected: Int?
        var incoming: [UInt8] = []
        var outgoing: [UInt8] = []
        /// What is sent of `outgoing`; nil if the guest has not asked for its size.
        var sent: Int?
    }

    private var channels = [Channel?](repeating: nil, count: channelsMax)
    /// For cookies: not a secret, only something that a guest does not repeat by mistake.
    private var cookies: UInt32 = 0x5741_4645

    /// Whether tools set the guest's clock by ours all the time.
    private let synchronizesTime: Bool

    init(synchronizesTime: Bool) { self.synchronizesTime = synchronizesTime }

    /// When the guest's main service was last heard, by the clock of `serve`; nil if it does not run.
    func heartbeat(at time: UInt64) -> UInt64? {
        channels.lazy.compactMap { $0?.orders }.filter { $0.isAlive(at: time) }.compactMap(\.lastHeard).max()
    }

    /// Gives the guest's main service an order.
    ///
    /// - Returns: false if it does not run.
    mutating func post(_ order: String, at time: UInt64) -> Bool {
        guard let index = channels.firstIndex(where: { $0?.orders?.isAlive(at: time) ?? false }) else { return false }
        channels[index]?.orders?.post(order)
        return true
    }

    /// Serves one call.
    mutating func serve(_ registers: inout BackdoorRegisters, _ endpoint: inout ToolsEndpoint, at time: UInt64) {
        let step = registers.ecx.highHalf
        registers.ecx.highHalf = Status.failed
        if step == Step.open { return open(&registers) }
        let index = Int(registers.edx.highHalf)
        guard index < channels.count, var channel = channels[index] else { return }
        if let cookie = channel.cookie, cookie != (registers.esi, registers.edi) { return }
        // Taken out meanwhile, so that its buffers are not copied.
        channels[index] = nil
        if step == Step.close {
            registers.ecx.highHalf = Status.success
            return
        }
        defer { channels[index] = channel }
        switch step {
        case Step.sendSize:
            guard registers.ebx <= Self.messageMax else { return }
            channel.incoming = []
            channel.expected = Int(registers.ebx)
            if registers.ebx == 0 { finish(&channel, &endpoint, at: time) }
        case Step.sendPayload:
            guard let expected = channel.expected, expected > 0 else { return }
            for place in 0..<min(4, expected) {
                channel.incoming.append(UInt8(truncatingIfNeeded: registers.ebx >> (8 * UInt32(place))))
            }
            channel.expected = max(0, expected - 4)
            if expected <= 4 { finish(&channel, &endpoint, at: time) }
        case Step.receiveSize:
            if channel.outgoing.isEmpty, let order = channel.orders?.next(at: time) { channel.outgoing = order }
            guard channel.orders == nil || !channel.outgoing.isEmpty else { break }
            channel.sent = 0
            registers.ecx.highHalf = Status.success | Status.hasMessage
            registers.ebx = UInt32(clamping: channel.outgoing.count)
            registers.edx.highHalf = Content.size
            return
        case Step.receivePayload:
            guard let sent = channel.sent, sent < channel.outgoing.count else { return }
            var word: UInt32 = 0
            for place in 0..<min(4, channel.outgoing.count - sent) {
                word |= UInt32(channel.outgoing[sent + place]) << (8 * UInt32(place))
            }
            channel.sent = sent + 4
            registers.ebx = word
            registers.edx.highHalf = Content.payload
        case Step.receiveStatus:
            channel.outgoing = []
            channel.sent = nil
        default: return
        }
        registers.ecx.highHalf = Status.success
    }

    private mutating func open(_ registers: inout BackdoorRegisters) {
        let orders: OrderQueue?
        switch registers.ebx & ~Self.wantsCookie {
        case Self.requestsProtocol: orders = nil
        case Self.ordersProtocol: orders = OrderQueue(synchronizesTime: synchronizesTime)
        default: return
        }
        guard let index = channels.firstIndex(where: { $0 == nil }) else { return }
        var channel = Channel(orders: orders)
        if registers.ebx & Self.wantsCookie != 0 {
            cookies = cookies &* 1_664_525 &+ 1_013_904_223
            channel.cookie = (cookies, ~cookies)
            (registers.esi, registers.edi) = (cookies, ~cookies)
        }
        channels[index] = channel
        registers.ecx.highHalf = Status.success
        registers.edx.highHalf = UInt16(index)
    }

    /// The guest's message is whole.
    private func finish(_ channel: inout Channel, _ endpoint: inout ToolsEndpoint, at time: UInt64) {
        let message = channel.incoming
        channel.incoming = []
        channel.expected = nil
        channel.sent = nil
        if channel.orders == nil {
            channel.outgoing = endpoint.answer(message)
        } else {
            channel.outgoing = []
            channel.orders?.heard(message, at: time)
        }
    }
}
