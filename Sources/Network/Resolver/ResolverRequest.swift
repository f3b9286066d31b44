import Addresses
public import DNSMessages
public import Linux

/// Carries out a `Lookup` on an event loop: one question at a time, each from a port and with a number that nobody can guess.
public final class ResolverRequest: EventHandler, @unchecked Sendable {
    // @unchecked: belongs to its loop's thread.

    public typealias Completion = (Result<[DNSAnswer.Value], LookupError>) -> Void
    public static let standardPort: UInt16 = 53

    private let loop: EventLoop
    private var lookup: Lookup
    private let port: UInt16
    private var completion: Completion?
    private var timer: Timer?
    private var socket: InternetSocket?
    private var question: DNSQuestion?
    private var identifier: UInt16 = 0
    /// Over TCP: what has come; nil over UDP.
    private var stream: [UInt8]?
    private var isConnecting = false

    /// Starts at once.
    ///
    /// - Parameters:
    ///   - port: where servers listen.
    ///   - completion: called once, on the loop's thread, not before this returns. Keep the request until then, or `cancel` it.
    public init(
        _ lookup: Lookup, on loop: EventLoop, port: UInt16 = ResolverRequest.standardPort,
        _ completion: @escaping Completion
    ) throws(SystemError) {
        self.loop = loop
        self.lookup = lookup
        self.port = port
        self.completion = completion
        super.init()
        timer = try Timer(on: loop) { [weak self] in self?.timeIsUp() }
        // Through the timer, so that the caller hears nothing before it has this object.
        timer?.set(after: 0)
    }

    /// Ends without a word.
    public func cancel() {
        completion = nil
        close()
        timer?.close(on: loop)
        timer = nil
    }

    private func timeIsUp() {
        if question == nil { act(lookup.start()) } else { answered(nil) }
    }

    private func answered(_ answer: DNSAnswer?) {
        close()
        act(lookup.answered(answer))
    }

    private func act(_ action: Lookup.Action) {
        switch action {
        case .ask(let question, let server, let overTCP, let milliseconds):
            self.question = question
            timer?.set(after: UInt64(milliseconds) * 1_000_000)
            do throws(SystemError) {
                let random = try Random.bytes(2)
                identifier = UInt16(random[0]) << 8 | UInt16(random[1])
                let socket = try InternetSocket(overTCP ? .tcp : .udp)
                // Connected: the kernel lets only this server's packets through.
                try socket.connect(server, port: port)
                stream = overTCP ? [] : nil
                isConnecting = overTCP
                if !overTCP { try socket.send(question.message(identifier: identifier)) }
                try loop.watch(socket.raw, for: overTCP ? .writable : .readable, self)
                self.socket = socket
            } catch {
                // Such as an unreachable network: the next server may be nearer. Not at once, so that nobody waits in here.
                timer?.set(after: 20_000_000)
            }
        case .done(let values): finish(.success(values))
        case .failed(let error): finish(.failure(error))
        }
    }

    private func finish(_ result: Result<[DNSAnswer.Value], LookupError>) {
        guard let completion else { return }
        cancel()
        completion(result)
    }

    private func close() {
        if let socket { loop.unwatch(socket.raw) }
        socket = nil
    }

    override public func ready(_ events: Readiness) {
        guard let socket, let question else { return }
        if isConnecting {
            guard socket.connectionError() == nil else { return answered(nil) }
            isConnecting = false
            let message = question.message(identifier: identifier)
            let length = [UInt8(truncatingIfNeeded: message.count >> 8), UInt8(truncatingIfNeeded: message.count)]
            guard (try? socket.send(length + message)) != nil, (try? loop.rewatch(socket.raw, for: .readable)) != nil
            else { return answered(nil) }
            return
        }
        while self.socket === socket {
            switch socket.receive(limit: 1 << 16) {
            case .nothing: return
            case .failed: return answered(nil)
            case .bytes(let bytes, _): take(bytes, question)
            }
        }
    }

    private func take(_ bytes: [UInt8], _ question: DNSQuestion) {
        guard var stream else {
            // What is no answer to this question may be somebody's guess: the right one may still come.
            if let answer = DNSAnswer(bytes, to: question, identifier: identifier) { answered(answer) }
            return
        }
        if bytes.isEmpty { return answered(nil) }
        stream += bytes
        self.stream = stream
        // RFC 1035, section 4.2.2: two bytes of length, then the message.
        guard stream.count >= 2 else { return }
        let length = Int(stream[0]) << 8 | Int(stream[1])
        guard stream.count >= 2 + length else { return }
        answered(DNSAnswer(Array(stream[2..<2 + length]), to: question, identifier: identifier))
    }
}
