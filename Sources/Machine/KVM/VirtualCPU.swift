import CLinux
import Linux
import Synchronization

/// One virtual processor. A thread of the host carries it: it calls `bindToCurrentThread`, then `run` again and again.
///
/// `run` and everything about the last exit belong to that thread alone. `kick` and `requestExit` may be called from
/// any thread. Everything else waits while the vCPU runs, so it is for the vCPU's own thread or while that is known to
/// wait.
@safe public final class VirtualCPU: @unchecked Sendable {
    // @unchecked: the fields are immutable or atomic; the shared structure is the kernel's during `run` and the vCPU
    // thread's otherwise, but for the one byte of `immediateExit`, which is only touched atomically.

    /// The vCPU's number, which is its APIC id.
    public let id: UInt32
    public let machine: VirtualMachine
    private let descriptor: Descriptor
    private let mapping: Mapping
    /// `descriptor`'s number and `mapping`'s address once more: the run loop reads them without touching other objects.
    let raw: CInt
    let page: UnsafeMutablePointer<kvm_run>
    let runSize: Int
    /// The kernel's number of the thread that carries the vCPU; 0 if none does.
    private let thread = Atomic<CInt>(0)

    /// Makes a vCPU in the state that a processor has after power-on. With interrupt controllers in the kernel, all but
    /// the first one wait for the first to start them.
    public init(_ machine: VirtualMachine, id: UInt32) throws(KVMError) {
        let descriptor = Descriptor(
            adopting: try kvmCall(machine.raw, WAFER_KVM_CREATE_VCPU, argument: UInt(id), "create a virtual CPU"))
        raw = descriptor.raw
        runSize = machine.system.runSize
        do {
            mapping = try Mapping(sharing: raw, count: runSize, "virtual CPU")
        } catch {
            throw .call(error)
        }
        unsafe page = unsafe mapping.base.assumingMemoryBound(to: kvm_run.self)
        self.descriptor = descriptor
        self.machine = machine
        self.id = id
    }

    /// Lets the guest run until something needs attention here.
    ///
    /// Neither allocates nor throws: an interruption and a failure are values, too.
    public func run() -> Exit {
        if wafer_ioctl(raw, WAFER_KVM_RUN, 0) < 0 { return Exit(failure: wafer_errno()) }
        return unsafe Exit(reason: page.pointee.exit_reason)
    }

    // MARK: Interrupting

    private var immediateExitFlag: UnsafePointer<Atomic<UInt8>> {
        // Byte 1 of the structure. The kernel reads it once on entry to `run`.
        unsafe UnsafeRawPointer(page).advanced(by: 1).assumingMemoryBound(to: Atomic<UInt8>.self)
    }

    /// Makes the next `run`, and every one after it, return `.interrupted` at once, until `clearExitRequest`. What was
    /// stored before this call is seen by the vCPU thread after its `clearExitRequest`.
    public func requestExit() { unsafe immediateExitFlag.pointee.store(1, ordering: .releasing) }

    /// Ends what `requestExit` began. Look for work after this call, not before it: a request that arrives in between
    /// is then either seen as work or still interrupts the next `run`.
    public func clearExitRequest() {
        // A full barrier: the look for work must not be done before this store is visible.
        unsafe _ = immediateExitFlag.pointee.exchange(0, ordering: .sequentiallyConsistent)
    }

    /// Whether `requestExit` was called since the last `clearExitRequest`.
    public var isExitRequested: Bool { unsafe immediateExitFlag.pointee.load(ordering: .acquiring) != 0 }

    /// Says that the calling thread carries this vCPU from now on, so that `kick` finds it.
    public func bindToCurrentThread() throws(KVMError) {
        do {
            try Thread.installWakeup()
            try Thread.unblockWakeup()
        } catch {
            throw .call(error)
        }
        thread.store(Thread.currentNumber, ordering: .sequentiallyConsistent)
    }

    /// Says that no thread carries this vCPU any longer. Call before the thread ends.
    public func unbind() { thread.store(0, ordering: .sequentiallyConsistent) }

    /// Gets the vCPU out of `run`, wherever its thread is: in the guest, on the way into it, or elsewhere. Store what
    /// the vCPU thread shall do before the call; the thread finds it after `run` returned `.interrupted` and it called
    /// `clearExitRequest`.
    public func kick() {
        requestExit()
        let thread = thread.load(ordering: .sequentiallyConsistent)
        if thread != 0 { Thread.wakeUp(number: thread) }
    }

    /// Lets KVM finish the instruction whose port or MMIO access was the last exit, without running the guest further.
    /// Until then the vCPU's registers are those of a half-done instruction: call this before saving state.
    ///
    /// The exit request stays set.
    ///
    /// - Returns: `.interrupted` when it is done; an access of the same instruction that is still to be served (a
    ///   string or a misaligned access): serve it and call again.
    public func completeExit() -> Exit {
        requestExit()
        return run()
    }
}
