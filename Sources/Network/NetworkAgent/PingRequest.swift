import Addresses
import DNSMessages
import Linux
import NetworkService

/// Sends echo requests one after another and counts the replies.
final class PingRequest: EventHandler, @unchecked Sendable {
    // @unchecked: belongs to its loop's thread.

    private let loop: EventLoop
    private let target: DNSAnswer.Value
    private let scope: UInt32
    private let count: UInt8
    private let patience: UInt64
    private let identifier: UInt16
    private var socket: InternetSocket?
    private var timer: Timer?
    private var completion: ((PingResult) -> Void)?
    private var sentAt: UInt64 = 0
    private var isAnswered = true
    private var total: UInt64 = 0
    private var result = PingResult(sent: 0, received: 0, averageMicroseconds: 0)

    private static let interval: UInt64 = 1_000_000_000

    /// - Parameters:
    ///   - scope: the link's number, for link-local IPv6 addresses.
    ///   - completion: called once on the loop's thread, not before this returns.
    init(
        _ target: DNSAnswer.Value, scope: UInt32, count: UInt8, milliseconds: UInt32, on loop: EventLoop,
        _ completion: @escaping (PingResult) -> Void
    ) throws(SystemError) {
        self.target = target
        self.scope = scope
        self.count = min(max(count, 1), 10)
        patience = UInt64(min(max(milliseconds, 1), 10_000)) * 1_000_000
        self.loop = loop
        self.completion = completion
        let random = try Random.bytes(2)
        identifier = UInt16(random[0]) << 8 | UInt16(random[1])
        super.init()
        let socket = try InternetSocket(isIPv6 ? .icmp6 : .icmp)
        timer = try Timer(on: loop) { [weak self] in self?.next() }
        try loop.watch(socket.raw, for: .readable, self)
        self.socket = socket
        timer?.set(after: 0)
    }

    private var isIPv6: Bool {
        if case .ipv6 = target { return true }
        return false
    }

    /// Time is up for the last request: sends the next one, or ends.
    private func next() {
        if result.sent == count || !result.problem.isEmpty { return finish() }
        result.sent += 1
        sentAt = monotonicNanoseconds()
        isAnswered = false
        let packet = EchoPacket(identifier: identifier, sequence: UInt16(result.sent)).request(isIPv6: isIPv6)
        do throws(SystemError) {
            switch target {
            case .ipv4(let address): try socket?.send(packet, to: address, port: 0)
            case .ipv6(let address):
                try socket?.send(packet, to: address, scope: address.isLinkLocal ? scope : 0)
            case .name: return finish()
            }
        } catch {
            result.problem = "\(error)"
            return finish()
        }
        timer?.set(after: patience)
    }

    override func ready(_ events: Readiness) {
        while let socket {
            if isIPv6 {
                guard let (bytes, sender) = socket.receive6() else { return }
                if target == .ipv6(sender) { take(bytes) }
            } else {
                switch socket.receive() {
                case .nothing: return
                case .failed: continue
                case .bytes(let bytes, let sender): if target == .ipv4(sender) { take(bytes) }
                }
            }
        }
    }

    private func take(_ bytes: [UInt8]) {
        guard let reply = EchoPacket(reply: bytes, isIPv6: isIPv6), reply.identifier == identifier,
            reply.sequence == UInt16(result.sent), !isAnswered
        else { return }
        isAnswered = true
        let passed = monotonicNanoseconds() - sentAt
        total += passed
        result.received += 1
        if result.sent == count { return finish() }
        timer?.set(after: Self.interval > passed ? Self.interval - passed : 0)
    }

    private func finish() {
        guard let completion else { return }
        self.completion = nil
        if result.received > 0 {
            result.averageMicroseconds = UInt32(clamping: total / UInt64(result.received) / 1000)
        }
        if let socket { loop.unwatch(socket.raw) }
        socket = nil
        timer?.close(on: loop)
        timer = nil
        completion(result)
    }
}
