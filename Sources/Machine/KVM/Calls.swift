import CLinux
import Linux

// The ways this module calls KVM. Each names what was being done, for the error.

/// An ioctl whose argument is a number.
@discardableResult
func kvmCall(_ descriptor: CInt, _ request: UInt, argument: UInt = 0, _ operation: StaticString) throws(KVMError)
    -> CInt
{
    do {
        return try retrying("\(operation)") { wafer_ioctl(descriptor, request, argument) }
    } catch {
        throw .call(error)
    }
}

/// An ioctl whose argument is a structure of fixed size that the kernel reads or fills.
@discardableResult
func kvmCall<T>(_ descriptor: CInt, _ request: UInt, _ argument: inout T, _ operation: StaticString) throws(KVMError)
    -> CInt
{
    do {
        return try unsafe withUnsafeMutablePointer(to: &argument) { pointer throws(SystemError) in
            try retrying("\(operation)") { unsafe wafer_ioctl_pointer(descriptor, request, pointer) }
        }
    } catch {
        throw .call(error)
    }
}

/// An ioctl whose argument is a structure of variable size.
///
/// The buffer must be as long as the counts in it say; the kernel trusts them.
@discardableResult
func kvmCall(_ descriptor: CInt, _ request: UInt, _ buffer: borrowing KernelBuffer, _ operation: StaticString)
    throws(KVMError) -> CInt
{
    do {
        let base = unsafe buffer.base
        return try retrying("\(operation)") { unsafe wafer_ioctl_pointer(descriptor, request, base) }
    } catch {
        throw .call(error)
    }
}

/// A structure of variable size on its way to or from the kernel: zeroed, aligned for 64-bit words, every access
/// checked.
@safe struct KernelBuffer: ~Copyable {
    fileprivate let base: UnsafeMutableRawPointer
    let count: Int

    init(count: Int) {
        unsafe base = .allocate(byteCount: max(count, 8), alignment: 16)
        unsafe base.initializeMemory(as: UInt8.self, repeating: 0, count: count)
        self.count = count
    }

    /// A copy of bytes, filled up with zeros to `count`.
    init(_ bytes: [UInt8], count: Int) {
        precondition(bytes.count <= count, "bytes exceed the buffer")
        self.init(count: count)
        unsafe bytes.withUnsafeBytes {
            unsafe UnsafeMutableRawBufferPointer(start: base, count: count).copyMemory(from: $0)
        }
    }

    deinit { unsafe base.deallocate() }

    func load<T: BitwiseCopyable>(at offset: Int, as type: T.Type = T.self) -> T {
        precondition(offset >= 0 && offset <= count - MemoryLayout<T>.size, "read outside the buffer")
        return unsafe base.loadUnaligned(fromByteOffset: offset, as: type)
    }

    func store<T: BitwiseCopyable>(_ value: T, at offset: Int) {
        precondition(offset >= 0 && offset <= count - MemoryLayout<T>.size, "write outside the buffer")
        unsafe base.storeBytes(of: value, toByteOffset: offset, as: T.self)
    }

    /// All bytes, copied.
    var bytes: [UInt8] { unsafe Array(UnsafeRawBufferPointer(start: base, count: count)) }
}
