import HostModel
import HostService
import Messages

/// A message to or from the host agent, from a stranger: the first byte says what it is taken for.
func fuzzHostCalls(_ bytes: [UInt8]) {
    guard let kind = bytes.first else { return }
    let payload = Array(bytes.dropFirst())
    switch kind % 9 {
    case 0: readAgain(InventoryMachine.self, payload)
    case 1: readAgain(MachineDetails.Answer.self, payload)
    case 2: readAgain([HostEvent].self, payload)
    case 3: readAgain([HostTask].self, payload)
    case 4: readAgain(StopMachine.self, payload)
    case 5: readAgain(SetAutostart.self, payload)
    case 6: readAgain(Login.self, payload)
    case 7: readAgain(AnswerQuestion.self, payload)
    default: _ = try? HostAnnouncement(kind: UInt16(kind) / 9 % 5, payload: payload)
    }
}

/// What can be read is written as the same bytes.
private func readAgain<Fields: MessageField>(_ type: Fields.Type, _ payload: [UInt8]) {
    var reader = FieldReader(payload)
    guard let fields = try? Fields(from: &reader), (try? reader.finish()) != nil else { return }
    var writer = FieldWriter()
    writer.write(fields)
    check(writer.bytes == payload, "what was read is written the same")
}
