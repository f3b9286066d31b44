import SavedState

/// What every PCI function has to be saved: configuration space, interrupt wire, vectors.
final class PCIFunctionState: StateHolder {
    private let function: PCIFunction

    init(_ function: PCIFunction) { self.function = function }

    var stateVersion: UInt32? { 1 }

    func saveState(_ coder: inout FieldCoder) { function.codeConfiguration(&coder) }

    /// The windows follow when the bus is told to (`PCIRoot.remapAll`).
    func restoreState(_ coder: inout FieldCoder) { function.codeConfiguration(&coder) }
}
