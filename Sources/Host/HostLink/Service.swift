public import Messages

/// A question that one process of the host asks another, and the type of its answer.
public protocol ServiceCall: MessageField, Sendable {
    associatedtype Answer: MessageField & Sendable
    /// Which question it is: 1 to 0x7ffe, unique among those of one service.
    static var kind: UInt16 { get }
}

/// An answer with nothing in it.
public struct Done: MessageField, Equatable, Sendable {
    public init() {}
    public init(from reader: inout FieldReader) throws(MessageError) {}
    public func write(to writer: inout FieldWriter) {}
}

/// The question whether a service is there. Every service answers it by itself, with `Done`.
public enum ServiceProbe {
    public static let kind: UInt16 = 0x7fff
}

/// Where the host's agents can be reached.
public enum ServiceAddress {
    public static let directory = "/run/wafer"
    /// Settings, the boot banks and power: `wafer configd`.
    public static let configuration = "\(directory)/config.sock"
    /// The network as it is: `wafer netd`.
    public static let network = "\(directory)/net.sock"
    /// Virtual machines and logins: `wafer hostd`.
    public static let host = "\(directory)/host.sock"
    /// Log messages to keep and to look at: `wafer logd`.
    public static let log = "\(directory)/log.sock"
}

/// Why a question got no answer.
public enum ServiceError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Nobody answers at the address.
    case unavailable(service: String, reason: String)
    /// The peer ended or hung up before it answered.
    case closed
    case timedOut
    case protocolViolation(MessageError)
    /// The service will not or cannot: a sentence for the administrator.
    case refused(Refusal)

    public struct Refusal: Error, Equatable, Sendable, MessageField {
        public enum Reason: UInt16, Sendable, MessageField {
            /// The question is not a message of this protocol.
            case badRequest = 1
            /// Something in it is not allowed: a value, a name.
            case invalid
            case notFound
            /// Not in the state that things are in.
            case badState
            /// The caller may not ask this.
            case denied
            case notSupported
            case busy
            /// Tried and failed.
            case failed
        }

        public var reason: Reason
        public var text: String

        public init(_ reason: Reason, _ text: String) {
            self.reason = reason
            self.text = text
        }

        public func write(to writer: inout FieldWriter) {
            writer.write(reason)
            writer.write(text)
        }

        public init(from reader: inout FieldReader) throws(MessageError) {
            reason = try reader.read()
            text = try reader.read()
        }
    }

    public var description: String {
        switch self {
        case .unavailable(let service, let reason): "\(service) does not answer: \(reason)"
        case .closed: "the service ended before it answered"
        case .timedOut: "the service did not answer in time"
        case .protocolViolation(let error): "the service speaks another protocol: \(error)"
        case .refused(let refusal): refusal.text
        }
    }
}

/// Kinds of messages that are not questions.
enum ReplyKind {
    static let answer: UInt16 = 0x8000
    static let refusal: UInt16 = 0x8001
    /// Events have the request number 0 and 0x9000 plus the event's own kind.
    static let event: UInt16 = 0x9000
}

extension ServiceCall {
    /// The call as a message.
    func frame(request: UInt32) -> Frame { Frame(kind: Self.kind, request: request, fields: self) }
}

extension Frame {
    /// What a service answered; a refusal is thrown.
    func answer<Fields: MessageField>() throws(ServiceError) -> Fields {
        if kind == ReplyKind.refusal { throw .refused(try fields()) }
        return try fields()
    }

    private func fields<Fields: MessageField>() throws(ServiceError) -> Fields {
        do throws(MessageError) {
            var reader = FieldReader(payload)
            let fields = try Fields(from: &reader)
            try reader.finish()
            return fields
        } catch { throw .protocolViolation(error) }
    }
}
