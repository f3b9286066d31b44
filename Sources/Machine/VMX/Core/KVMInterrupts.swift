import DeviceModel
import KVM
import Linux
import Synchronization

/// The machine's interrupt controllers, which KVM emulates, as devices see them.
final class KVMInterruptController: InterruptController {
    private let machine: VirtualMachine

    init(_ machine: VirtualMachine) { self.machine = machine }

    func line(_ globalSystemInterrupt: UInt32) -> any InterruptLine { Line(machine, globalSystemInterrupt) }

    func messages(_ vectorCount: Int) throws(SystemError) -> any MessageInterrupts {
        try KVMMessages(machine, vectorCount)
    }

    private final class Line: InterruptLine {
        private let machine: VirtualMachine
        private let interrupt: UInt32

        init(_ machine: VirtualMachine, _ interrupt: UInt32) {
            self.machine = machine
            self.interrupt = interrupt
        }

        func set(_ level: Bool) {
            // Fails only for a line that does not exist, and lines are made by this program alone.
            try? machine.setLine(interrupt, level)
        }
    }
}

/// The message-signalled vectors of one function: each an eventfd that KVM turns into the vector's message (irqfd).
///
/// Masking takes the eventfd away from KVM. What is signalled meanwhile stays in its counter, and KVM looks at it when
/// the eventfd is attached again: the pending bit, without code.
private final class KVMMessages: MessageInterrupts {
    private struct Vector {
        var route: InterruptMessage?
        var attached = false
    }

    private let machine: VirtualMachine
    private let events: [EventFD]
    private let interrupts: [UInt32]
    private let vectors: Mutex<[Vector]>

    init(_ machine: VirtualMachine, _ count: Int) throws(SystemError) {
        self.machine = machine
        var events: [EventFD] = []
        var interrupts: [UInt32] = []
        for _ in 0..<count {
            events.append(try EventFD())
            do { interrupts.append(try machine.allocateGSI()) } catch {
                for interrupt in interrupts { try? machine.freeGSI(interrupt) }
                throw SystemError(number: 28, operation: "allocate an interrupt: \(error)")
            }
        }
        self.events = events
        self.interrupts = interrupts
        vectors = Mutex(Array(repeating: Vector(), count: count))
    }

    deinit {
        for index in events.indices {
            setMessage(index, nil)
            try? machine.freeGSI(interrupts[index])
        }
    }

    var vectorCount: Int { events.count }

    func event(_ vector: Int) -> EventFD { events[vector] }

    func setMessage(_ index: Int, _ message: InterruptMessage?) {
        guard events.indices.contains(index) else { return }
        vectors.withLock { vectors in
            var vector = vectors[index]
            if let message {
                // Changing the routing table waits for all vCPUs: only when it must change.
                if vector.route != message {
                    let target = MSIMessage(address: message.address, data: message.data)
                    guard (try? machine.setRoute(interrupts[index], .msi(target))) != nil else { return }
                    vector.route = message
                }
                if !vector.attached {
                    guard (try? machine.attachInterrupt(events[index], gsi: interrupts[index])) != nil else { return }
                    vector.attached = true
                }
            } else if vector.attached {
                try? machine.detachInterrupt(events[index], gsi: interrupts[index])
                vector.attached = false
            }
            vectors[index] = vector
        }
    }
}

/// Doorbells that ring in the kernel (ioeventfd).
final class KVMDoorbells: DoorbellBinder {
    private let machine: VirtualMachine

    init(_ machine: VirtualMachine) { self.machine = machine }

    func bind(_ event: EventFD, at place: DoorbellPlace) throws(SystemError) {
        do { try machine.attachDoorbell(Doorbell(place), event) } catch {
            throw SystemError(number: 17, operation: "bind a doorbell: \(error)")
        }
    }

    func unbind(_ event: EventFD, at place: DoorbellPlace) { try? machine.detachDoorbell(Doorbell(place), event) }
}

extension Doorbell {
    fileprivate init(_ place: DoorbellPlace) {
        switch place {
        case .memory(let address): self.init(address)
        case .port(let port): self.init(UInt64(port), width: .word, space: .port)
        }
    }
}
