import Linux
import SavedState
import VMXConfig
import VMXControl

/// Puts a machine into a file and gets it back.
struct Suspension {
    let configuration: MachineConfiguration
    let machine: Machine
    let log: MachineLog

    /// Suspends the machine, whose end comes after the answer. If anything fails, it goes on as if nothing had been.
    func suspend() throws(ControlReply.Refusal) {
        guard machine.state == .running || machine.state == .paused else {
            throw .init(.badState, "the VM is \(machine.state.rawValue)")
        }
        let began = monotonicNanoseconds()
        do {
            let number = try Random.bytes(4).reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
            let path = configuration.newSavedStateFile(number)
            try machine.suspend { machine in
                do {
                    try machine.save(to: path, uuid: configuration.uuid.bytes)
                    try configuration.setSavedState(path)
                } catch {
                    removeFile(path)
                    throw error
                }
            }
            log.info("Suspended to \(path) in \((monotonicNanoseconds() - began) / 1_000_000) ms")
        } catch {
            log.error("cannot suspend: \(error)")
            throw .init(.failed, "cannot suspend: \(error)")
        }
    }

    /// Lets the machine go on from a file. If that fails, file and machine stay suspended.
    func resume(_ path: String) throws {
        let began = monotonicNanoseconds()
        do {
            try machine.powerOn { machine in
                try machine.load(from: path, uuid: configuration.uuid.bytes)
                // Before the guest runs: from then on its disks are not those that the state knows, and it must never be used again.
                try configuration.setSavedState(nil)
            }
        } catch {
            throw StartFailure(
                .configuration,
                "cannot resume from \(path): \(error); to start afresh, take checkpoint.vmState out of \(configuration.file)"
            )
        }
        removeFile(path)
        log.info("Resumed from \(path) in \((monotonicNanoseconds() - began) / 1_000_000) ms")
    }
}
