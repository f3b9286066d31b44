import VMXConfig

/// A `.vmx` file from a stranger: read, edited, written, and turned into a machine.
func fuzzVMXConfig(_ bytes: [UInt8]) {
    guard var document = try? VMXDocument(parsing: bytes, name: "dir/fuzz.vmx") else { return }
    check(document.bytes == bytes, "reading loses nothing")

    let uuid = MachineUUID(random: bytes)
    if let machine = try? MachineConfiguration(document, newUUID: uuid) {
        for identity in machine.newIdentity {
            // A file that is full takes no more keys; everything else must.
            guard (try? document.set(identity.key, to: identity.value)) != nil else { return }
        }
        guard let again = try? MachineConfiguration(document, newUUID: uuid) else {
            return check(false, "a machine with its identity written down is still accepted")
        }
        check(again.newIdentity.isEmpty && again.networkCards == machine.networkCards, "the identity stays")
    }
    // Values from the text itself, so that escapes, quotes and odd characters are written too.
    for key in document.keys.prefix(8) {
        guard let value = document[key] else { return check(false, "every key has its value") }
        guard (try? document.set("fuzz.copy", to: value)) != nil else { continue }
        guard let again = try? VMXDocument(parsing: document.bytes, name: document.name) else {
            return check(false, "what was written can be read")
        }
        check(again == document && again["FUZZ.COPY"] == value, "what was written reads the same")
        document.remove(key)
    }
}
