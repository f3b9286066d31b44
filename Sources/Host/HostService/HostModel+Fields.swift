public import HostModel
public import Messages

// The model's types as they stand in messages. Readers take them apart as strictly as any message.

extension PowerState: MessageField {}
extension StopKind: MessageField {}
extension HostEvent.Severity: MessageField {}
extension HostTask.State: MessageField {}

extension AutostartSettings.StopAction: MessageField {
    private static let order: [AutostartSettings.StopAction] = [.none, .powerOff, .guestShutdown, .suspend]

    public func write(to writer: inout FieldWriter) {
        writer.write(UInt16(truncatingIfNeeded: Self.order.firstIndex(of: self) ?? 0))
    }

    public init(from reader: inout FieldReader) throws(MessageError) {
        let number = try reader.read(UInt16.self)
        guard Int(number) < Self.order.count else { throw .unknownValue(UInt64(number)) }
        self = Self.order[Int(number)]
    }
}

extension MachineQuestion: MessageField {
    public func write(to writer: inout FieldWriter) {
        writer.write(identifier)
        writer.write(text)
        writer.write(choices)
    }

    public init(from reader: inout FieldReader) throws(MessageError) {
        self.init(identifier: try reader.read(), text: try reader.read(), choices: try reader.read())
    }
}

extension MachineDescription: MessageField {
    public func write(to writer: inout FieldWriter) {
        writer.write(displayName)
        writer.write(guestOS)
        writer.write(memory)
        writer.write(processors)
        writer.write(controlSocket)
    }

    public init(from reader: inout FieldReader) throws(MessageError) {
        self.init(displayName: try reader.read())
        guestOS = try reader.read()
        memory = try reader.read()
        processors = try reader.read()
        controlSocket = try reader.read()
    }
}

extension InventoryMachine: MessageField {
    public func write(to writer: inout FieldWriter) {
        writer.write(file)
        writer.write(description)
        writer.write(problems)
        writer.write(isRegistered)
        writer.write(power)
        writer.write(question)
        writer.write(UInt32(bitPattern: process ?? 0))
        writer.write(startOrder)
        writer.write(startDelay)
        writer.write(stopAction)
    }

    public init(from reader: inout FieldReader) throws(MessageError) {
        self.init(file: try reader.read(), description: try reader.read())
        problems = try reader.read()
        isRegistered = try reader.read()
        power = try reader.read()
        question = try reader.read()
        let number = Int32(bitPattern: try reader.read(UInt32.self))
        process = number == 0 ? nil : number
        startOrder = try reader.read()
        startDelay = try reader.read()
        stopAction = try reader.read()
    }
}

extension HostEvent: MessageField {
    public func write(to writer: inout FieldWriter) {
        writer.write(number)
        writer.write(time)
        writer.write(severity)
        writer.write(user)
        writer.write(subject)
        writer.write(text)
    }

    public init(from reader: inout FieldReader) throws(MessageError) {
        let number: UInt64 = try reader.read()
        self.init(
            number: number, time: try reader.read(), severity: try reader.read(), user: try reader.read(),
            subject: try reader.read(), try reader.read())
    }
}

extension HostTask: MessageField {
    public func write(to writer: inout FieldWriter) {
        writer.write(number)
        writer.write(name)
        writer.write(subject)
        writer.write(user)
        writer.write(state)
        writer.write(started)
        writer.write(ended)
        writer.write(reason)
    }

    public init(from reader: inout FieldReader) throws(MessageError) {
        self.init(
            number: try reader.read(), name: try reader.read(), subject: try reader.read(), user: try reader.read(),
            state: try reader.read(), started: try reader.read(), ended: try reader.read(), reason: try reader.read())
    }
}
