import CLinux

/// One model-specific register and its value.
public struct ModelSpecificRegister: Hashable, Sendable {
    public var index: UInt32
    public var value: UInt64

    public init(_ index: UInt32, _ value: UInt64) {
        self.index = index
        self.value = value
    }
}

/// `struct kvm_msrs`: a count, four bytes of padding, then the entries.
enum MSRTable {
    private static let header = 8
    private static let stride = MemoryLayout<kvm_msr_entry>.stride
    /// What KVM takes in one call (MAX_IO_MSRS).
    private static let batch = 256

    /// Reads registers; those that the kernel does not know are left out.
    static func read(_ descriptor: CInt, _ indices: [UInt32]) throws(KVMError) -> [ModelSpecificRegister] {
        var found: [ModelSpecificRegister] = []
        found.reserveCapacity(indices.count)
        var next = 0
        while next < indices.count {
            let wanted = indices[next..<min(indices.count, next + batch)]
            let values = try call(
                descriptor, WAFER_KVM_GET_MSRS, wanted.map { ModelSpecificRegister($0, 0) },
                "read model-specific registers")
            found += values
            // The kernel stops at the first register it does not know; go on behind it.
            next += values.count == wanted.count ? values.count : values.count + 1
        }
        return found
    }

    /// Writes registers in the order given.
    ///
    /// - Throws: `.registerRefused` with the first that the kernel refuses; those before it are written.
    static func write(_ descriptor: CInt, _ registers: [ModelSpecificRegister]) throws(KVMError) {
        var next = 0
        while next < registers.count {
            let wanted = registers[next..<min(registers.count, next + batch)]
            let written = try call(descriptor, WAFER_KVM_SET_MSRS, Array(wanted), "write model-specific registers")
            if written.count < wanted.count {
                let refused = registers[next + written.count]
                throw .registerRefused(index: refused.index, value: refused.value)
            }
            next += written.count
        }
    }

    /// - Returns: the registers that the kernel took, with their values after the call.
    private static func call(
        _ descriptor: CInt, _ request: UInt, _ registers: [ModelSpecificRegister], _ operation: StaticString
    ) throws(KVMError) -> [ModelSpecificRegister] {
        let buffer = KernelBuffer(count: header + registers.count * stride)
        buffer.store(UInt32(registers.count), at: 0)
        for (position, register) in registers.enumerated() {
            let entry = kvm_msr_entry(index: register.index, reserved: 0, data: register.value)
            buffer.store(entry, at: header + position * stride)
        }
        let done = Int(try kvmCall(descriptor, request, buffer, operation))
        return (0..<min(done, registers.count)).map { position in
            let entry = buffer.load(at: header + position * stride, as: kvm_msr_entry.self)
            return ModelSpecificRegister(entry.index, entry.data)
        }
    }
}
