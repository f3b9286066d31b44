import Linux

extension MachineConfiguration {
    /// VMware's key for the state of a suspended machine.
    static let savedStateKey = "checkpoint.vmState"

    /// A name for a file of saved state beside the `.vmx` file, as VMware forms it: `NAME-564d1a2b.vmss`.
    ///
    /// - Parameter number: tells one state of the machine from another.
    public func newSavedStateFile(_ number: UInt32) -> String {
        let digits = String(number, radix: 16)
        let padded = String(repeating: "0", count: 8 - digits.utf8.count) + digits
        return Self.besides(file, "vmss", marked: "-" + padded)
    }

    /// Writes into the file that the machine is suspended, or that it is not any more. The rest of the file stays as it is.
    ///
    /// Call it while holding the machine's lock.
    ///
    /// - Parameter state: the state's file, beside the `.vmx` file; nil takes the key away.
    public func setSavedState(_ state: String?) throws(ConfigurationError) {
        var document = try VMXDocument.load(file)
        if let state {
            try document.set(Self.savedStateKey, to: Files.name(of: state))
        } else {
            document.remove(Self.savedStateKey)
        }
        try document.save(file)
    }
}
