import SavedState

extension PCIConfigurationSpace {
    /// Writes all bytes but the zeros at the end, or reads them: what the guest cannot change must be as it is here. A guest has seen
    /// its functions, and they may not become others under it.
    mutating func code(_ coder: inout FieldCoder) {
        var saved = coder.isReading ? [] : bytesUsed
        coder.blob(&saved, limit: Self.size, "configuration")
        guard coder.isReading, coder.failure == nil else { return }
        saved += [UInt8](repeating: 0, count: Self.size - saved.count)
        if let offset = restore(saved) {
            coder.fail(
                "the configuration space has 0x\(String(saved[offset], radix: 16)) at 0x\(String(offset, radix: 16)), "
                    + "this machine's 0x\(String(get(offset, as: UInt8.self), radix: 16))")
        }
    }
}
