import DeviceModel
import GuestTools
import KVM
import Linux
import Synchronization

/// Why a vCPU cannot go on.
enum GuestEvent: Sendable, Equatable {
    /// The guest asked for a reset, or a processor shut down by a triple fault.
    case reset(String)
    /// The guest powered the machine off.
    case powerOff
    /// KVM cannot go on; the text says why, for the log.
    case failed(String)
}

/// The thread that carries one vCPU: runs the guest and routes its exits.
///
/// Between two exits nothing is allocated, retained, locked or logged here; the device that is reached may lock itself.
final class VirtualCPUThread: @unchecked Sendable {
    // @unchecked: the views belong to the thread, while it is parked to the machine's; everything else is atomic or immutable.

    /// What the thread shall do.
    private enum Command {
        static let run: UInt8 = 0
        static let park: UInt8 = 1
        static let end: UInt8 = 2
    }

    let vcpu: VirtualCPU
    private let ports: BusView
    private let memory: BusView
    /// The one port that takes and gives more registers than a bus carries.
    private let backdoor: Backdoor
    private let command = Atomic<UInt8>(Command.park)
    private let parked = Semaphore()
    private let wake = Semaphore()
    private let report: @Sendable (GuestEvent) -> Void
    private let thread = Mutex<Thread?>(nil)
    /// Exits since the machine was powered on; read by statistics.
    let exits = Atomic<UInt64>(0)

    /// - Parameter report: called on this thread when the vCPU cannot go on; the thread parks after it.
    init(
        _ vcpu: VirtualCPU, ports: AddressSpace, memory: AddressSpace, backdoor: Backdoor,
        report: @escaping @Sendable (GuestEvent) -> Void
    ) {
        self.vcpu = vcpu
        self.ports = BusView(ports)
        self.memory = BusView(memory)
        self.backdoor = backdoor
        self.report = report
    }

    // MARK: Control, from the machine's thread

    /// Starts the thread, parked.
    func start() throws(SystemError) {
        let thread = try Thread(name: "vcpu\(vcpu.id)") { [self] in main() }
        self.thread.withLock { $0 = thread }
        parked.wait()
    }

    /// Tells the vCPU to park; `waitUntilParked` waits for it. For all vCPUs first the one, then the other.
    func requestPark() {
        command.store(Command.park, ordering: .releasing)
        vcpu.kick()
    }

    func waitUntilParked() { parked.wait() }

    /// Lets a parked vCPU run.
    func run() {
        command.store(Command.run, ordering: .releasing)
        wake.signal()
    }

    /// Lets go of devices that are not mapped any more. Only while parked.
    func refreshViews() {
        ports.refresh()
        memory.refresh()
    }

    /// Ends a parked vCPU's thread.
    func end() {
        command.store(Command.end, ordering: .releasing)
        wake.signal()
        thread.withLock { $0.take() }?.join()
    }

    // MARK: The thread

    private func main() {
        do { try vcpu.bindToCurrentThread() } catch { report(.failed("\(error)")) }
        while true {
            parked.signal()
            wake.wait()
            let command = command.load(ordering: .acquiring)
            if command == Command.end { break }
            if command == Command.run { runGuest() }
        }
        vcpu.unbind()
    }

    /// Runs the guest until something else is asked for.
    private func runGuest() {
        vcpu.clearExitRequest()
        while command.load(ordering: .acquiring) == Command.run {
            let exit = vcpu.run()
            exits.wrappingAdd(1, ordering: .relaxed)
            switch exit {
            case .port: servePort()
            case .memory: serveMemory()
            case .interrupted: vcpu.clearExitRequest()
            case .hyperV: vcpu.refuseHyperVCall()
            case .again: continue
            default: stop(exit)
            }
        }
        // The last exit may be half an instruction: registers are whole only when KVM has finished it.
        while true {
            switch vcpu.completeExit() {
            case .port: servePort()
            case .memory: serveMemory()
            case .hyperV: vcpu.refuseHyperVCall()
            default: return
            }
        }
    }

    private func servePort() {
        let access = vcpu.portAccess
        if access.port == Backdoor.port { return serveBackdoor(access) }
        for index in 0..<access.count {
            if access.isWrite {
                ports.write(UInt64(access.port), width: access.width, value: UInt64(vcpu.value(of: access, at: index)))
            } else {
                let value = ports.read(UInt64(access.port), width: access.width)
                vcpu.answer(access, at: index, UInt32(truncatingIfNeeded: value))
            }
        }
    }

    /// The backdoor is a read of 32 bits. Other accesses find no device.
    ///
    /// KVM finishes the instruction with the next `run` and puts the answer into EAX, unless it emulates the instruction
    /// and somebody has set registers meanwhile: then EAX is what was set. So where others are set, it is set as well.
    @inline(never)
    private func serveBackdoor(_ access: VirtualCPU.PortAccess) {
        guard !access.isWrite else { return }
        for index in 0..<access.count { vcpu.answer(access, at: index, .max) }
        guard access.width == 4, access.count == 1 else { return }
        do throws(KVMError) {
            var registers = try vcpu.registers()
            let asked = BackdoorRegisters(registers)
            var answer = asked
            backdoor.serve(&answer)
            vcpu.answer(access, answer.eax)
            registers.rax = UInt64(answer.eax)
            answer.eax = asked.eax
            // EAX alone is KVM's to set.
            guard answer != asked else { return }
            // What is left alone keeps its upper half, too.
            if answer.ebx != asked.ebx { registers.rbx = UInt64(answer.ebx) }
            if answer.ecx != asked.ecx { registers.rcx = UInt64(answer.ecx) }
            if answer.edx != asked.edx { registers.rdx = UInt64(answer.edx) }
            if answer.esi != asked.esi { registers.rsi = UInt64(answer.esi) }
            if answer.edi != asked.edi { registers.rdi = UInt64(answer.edi) }
            try vcpu.setRegisters(registers)
        } catch { report(.failed("vCPU \(vcpu.id): the backdoor: \(error)")) }
    }

    private func serveMemory() {
        let access = vcpu.memoryAccess
        if access.isWrite {
            memory.write(access.address, width: access.width, value: access.value)
        } else {
            vcpu.answerMemoryRead(memory.read(access.address, width: access.width))
        }
    }

    /// The rare exits. Parks the vCPU, whatever they are.
    @inline(never)
    private func stop(_ exit: VirtualCPU.Exit) {
        command.store(Command.park, ordering: .releasing)
        switch exit {
        case .shutdown: report(.reset("vCPU \(vcpu.id) shut down after a triple fault"))
        case .systemEvent: report(.failed("system event \(vcpu.systemEvent)"))
        case .internalError: report(.failed("vCPU \(vcpu.id): \(vcpu.internalError)"))
        case .entryFailure: report(.failed("vCPU \(vcpu.id): \(vcpu.entryFailure)"))
        default: report(.failed("vCPU \(vcpu.id): unexpected exit \(exit)"))
        }
    }

    /// Parks the vCPU as soon as its present exit is served. From any thread, its own too; the machine still calls
    /// `requestPark` and waits.
    func stopSoon() {
        command.store(Command.park, ordering: .releasing)
        vcpu.kick()
    }
}

extension BackdoorRegisters {
    fileprivate init(_ registers: GeneralRegisters) {
        self.init(
            eax: UInt32(truncatingIfNeeded: registers.rax), ebx: UInt32(truncatingIfNeeded: registers.rbx),
            ecx: UInt32(truncatingIfNeeded: registers.rcx), edx: UInt32(truncatingIfNeeded: registers.rdx),
            esi: UInt32(truncatingIfNeeded: registers.rsi), edi: UInt32(truncatingIfNeeded: registers.rdi))
    }
}
