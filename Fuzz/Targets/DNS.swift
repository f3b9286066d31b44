import DNSMessages

/// A server's answer: the first two bytes are how the question went out (its type), the rest is what came back. The question is the
/// one in the answer, as a server that wants to be believed would send it.
func fuzzDNS(_ bytes: [UInt8]) {
    guard bytes.count >= 14 else { return }
    let message = Array(bytes.dropFirst(2))
    let type: DNSRecordType = [.a, .aaaa, .ptr][Int(bytes[0]) % 3]
    var offset = 12
    if let name = DomainName.read(message, at: &offset) {
        check(offset <= message.count, "a name ends in the message")
        check(DomainName("\(name)") == name, "a name reads back from its text")
        let question = DNSQuestion(name, type)
        let identifier = UInt16(message[0]) << 8 | UInt16(message[1])
        if let answer = DNSAnswer(message, to: question, identifier: identifier) {
            check(answer.values.count <= 256, "an answer is not endless")
            check(answer.values.isEmpty || answer.canonicalName == nil, "either what was asked for or where it is")
        }
        var start = 0
        let encoded = name.bytes
        check(
            DomainName.read(encoded, at: &start) == name && start == encoded.count,
            "a name reads back as it was written")
    }
    // A name at every place, as pointers reach them.
    for index in message.indices.prefix(64) {
        var position = index
        _ = DomainName.read(message, at: &position)
        check(position <= message.count, "a name ends in the message")
    }
}
