public import Messages

/// What a VM's control socket is asked. One kind of frame each; `docs/formats/vmx-control.md` has the layout.
public enum ControlRequest: Equatable, Sendable {
    case status
    /// Stops the vCPUs.
    case pause
    case resume
    /// Asks the guest to shut down: its tools, or by its power button.
    case shutdownGuest
    /// Pulls the plug.
    case powerOff
    case reset
    /// Puts all of the machine into a file, and ends it.
    case suspend
    case statistics
    /// Plugs a device in: `.vmx` keys and values that describe it, such as `scsi0:1.fileName`.
    case attach([Setting])
    /// Pulls a device out, by the prefix of its keys: `scsi0:1`, `ethernet1`.
    case detach(String)
    /// Answers the question that the VM waits with.
    case answer(question: UInt32, choice: UInt32)
    /// Sends every change of state from now on.
    case watch
    /// A picture of the screen as a PNG file, in pieces. Offset 0 takes a new picture; others go on with it.
    case screenshot(offset: UInt32)
    /// Types a text on the keyboard, with the US layout.
    case type(String)
    /// Asks the guest's tools to restart it.
    case rebootGuest
    /// Puts an image into a CD drive, by the prefix of its keys; an empty path takes out what is in it.
    case insert(device: String, path: String)

    public struct Setting: Equatable, Sendable, MessageField {
        public var key: String
        public var value: String

        public init(key: String, value: String) {
            self.key = key
            self.value = value
        }

        public func write(to writer: inout FieldWriter) {
            writer.write(key)
            writer.write(value)
        }

        public init(from reader: inout FieldReader) throws(MessageError) {
            key = try reader.read()
            value = try reader.read()
        }
    }

    private enum Kind: UInt16 {
        case status = 1, pause, resume, shutdownGuest, powerOff, reset, statistics, attach, detach, answer, watch
        case screenshot, type, insert, suspend, rebootGuest
    }

    public func frame(request: UInt32) -> Frame {
        var writer = FieldWriter()
        let kind: Kind
        switch self {
        case .status: kind = .status
        case .pause: kind = .pause
        case .resume: kind = .resume
        case .shutdownGuest: kind = .shutdownGuest
        case .powerOff: kind = .powerOff
        case .rebootGuest: kind = .rebootGuest
        case .reset: kind = .reset
        case .suspend: kind = .suspend
        case .statistics: kind = .statistics
        case .attach(let settings):
            kind = .attach
            writer.write(settings)
        case .detach(let device):
            kind = .detach
            writer.write(device)
        case .answer(let question, let choice):
            kind = .answer
            writer.write(question)
            writer.write(choice)
        case .watch: kind = .watch
        case .screenshot(let offset):
            kind = .screenshot
            writer.write(offset)
        case .type(let text):
            kind = .type
            writer.write(text)
        case .insert(let device, let path):
            kind = .insert
            writer.write(device)
            writer.write(path)
        }
        return Frame(kind: kind.rawValue, request: request, payload: writer.bytes)
    }

    public init(_ frame: Frame) throws(MessageError) {
        guard let kind = Kind(rawValue: frame.kind) else { throw .unknownKind(frame.kind) }
        var reader = FieldReader(frame.payload)
        switch kind {
        case .status: self = .status
        case .pause: self = .pause
        case .resume: self = .resume
        case .shutdownGuest: self = .shutdownGuest
        case .powerOff: self = .powerOff
        case .rebootGuest: self = .rebootGuest
        case .reset: self = .reset
        case .suspend: self = .suspend
        case .statistics: self = .statistics
        case .attach: self = .attach(try reader.read())
        case .detach: self = .detach(try reader.read())
        case .answer: self = .answer(question: try reader.read(), choice: try reader.read())
        case .watch: self = .watch
        case .screenshot: self = .screenshot(offset: try reader.read())
        case .type: self = .type(try reader.read())
        case .insert: self = .insert(device: try reader.read(), path: try reader.read())
        }
        try reader.finish()
    }
}

/// What a control socket answers, and what it says unasked to those who watch.
public enum ControlReply: Equatable, Sendable {
    case done
    case refused(Refusal)
    case status(MachineStatus)
    case statistics([Counter])
    /// Unasked: the state changed. Request number 0.
    case changed(state: String)
    /// A piece of a PNG file of so many bytes in all.
    case picture(total: UInt32, piece: [UInt8])

    public struct Counter: Equatable, Sendable, MessageField {
        /// Dotted, the device first: `scsi0:0.readBytes`.
        public var name: String
        public var value: UInt64

        public init(name: String, value: UInt64) {
            self.name = name
            self.value = value
        }

        public func write(to writer: inout FieldWriter) {
            writer.write(name)
            writer.write(value)
        }

        public init(from reader: inout FieldReader) throws(MessageError) {
            name = try reader.read()
            value = try reader.read()
        }
    }

    /// Why a request was not carried out, in a sentence for the administrator.
    public struct Refusal: Error, Equatable, Sendable, CustomStringConvertible {
        public enum Reason: UInt16, Sendable, MessageField {
            /// The request is not a message of this protocol.
            case badRequest = 1
            /// The VM is not in a state for it.
            case badState
            case notFound
            case notSupported
            /// The device or configuration is not usable.
            case badDevice
            /// The system call or device failed.
            case failed
        }
        public var reason: Reason
        public var text: String

        public init(_ reason: Reason, _ text: String) {
            self.reason = reason
            self.text = text
        }

        public var description: String { text }
    }

    private enum Kind: UInt16 {
        case done = 0x8001, refused, status, statistics, changed, picture
    }

    public func frame(request: UInt32) -> Frame {
        var writer = FieldWriter()
        let kind: Kind
        switch self {
        case .done: kind = .done
        case .refused(let refusal):
            kind = .refused
            writer.write(refusal.reason)
            writer.write(refusal.text)
        case .status(let status):
            kind = .status
            writer.write(status)
        case .statistics(let counters):
            kind = .statistics
            writer.write(counters)
        case .changed(let state):
            kind = .changed
            writer.write(state)
        case .picture(let total, let piece):
            kind = .picture
            writer.write(total)
            writer.write(piece)
        }
        return Frame(kind: kind.rawValue, request: request, payload: writer.bytes)
    }

    public init(_ frame: Frame) throws(MessageError) {
        guard let kind = Kind(rawValue: frame.kind) else { throw .unknownKind(frame.kind) }
        var reader = FieldReader(frame.payload)
        switch kind {
        case .done: self = .done
        case .refused: self = .refused(Refusal(try reader.read(), try reader.read()))
        case .status: self = .status(try reader.read())
        case .statistics: self = .statistics(try reader.read())
        case .changed: self = .changed(state: try reader.read())
        case .picture: self = .picture(total: try reader.read(), piece: try reader.read())
        }
        try reader.finish()
    }
}
