import GuestMemory
import Synchronization

// Messages besides SCSI requests, on the controller's loop (Linux, drivers/message/fusion/lsi/mpi_ioc.h, mpi_init.h).
extension MPTEngine {
    private enum Task {
        static let abort: UInt8 = 1
        static let abortSet: UInt8 = 2
        static let targetReset: UInt8 = 3
        static let busReset: UInt8 = 4
        static let unitReset: UInt8 = 5
        static let clearSet: UInt8 = 6
        static let query: UInt8 = 7
    }

    /// How a task management function ended.
    private enum Response {
        static let complete: UInt8 = 0x00
        static let notSupported: UInt8 = 0x04
        static let succeeded: UInt8 = 0x08
        static let invalidUnit: UInt8 = 0x09
    }

    /// Does what a message asks for.
    ///
    /// - Returns: the reply.
    func process(_ message: MPTMessage) -> StructureBytes? {
        switch message.function {
        case MPTFunction.taskManagement: manageTask(message)
        case MPTFunction.initialize: initialize(message)
        case MPTFunction.controllerFacts: controllerFacts(message)
        case MPTFunction.portFacts: portFacts(message)
        case MPTFunction.portEnable: portEnable(message)
        case MPTFunction.config: config(message)
        case MPTFunction.eventNotification: notification(message)
        // There is nothing that it would lead to.
        case MPTFunction.eventAcknowledge, MPTFunction.sasControl: message.reply(20)
        default: message.reply(20, status: MPTStatus.invalidFunction)
        }
    }

    private func initialize(_ message: MPTMessage) -> StructureBytes {
        settings.who = message.byte(0)
        settings.maxDevices = message.byte(5) == 0 ? UInt8(Self.targetCount) : message.byte(5)
        settings.maxBuses = message.byte(6)
        settings.replySize = message.half(12)
        settings.messageHigh = UInt64(message.word(16)) << 32
        settings.senseHigh = UInt64(message.word(20)) << 32
        if shared.state.load(ordering: .relaxed) == MPTState.ready { becomeOperational() }
        var reply = message.reply(20)
        reply.set(0, settings.who)
        reply.set(5, settings.maxDevices)
        reply.set(6, settings.maxBuses)
        return reply
    }

    private func controllerFacts(_ message: MPTMessage) -> StructureBytes {
        var reply = message.reply(80)
        reply.set(0, UInt16(0x0105))  // of MPI, 1.5
        reply.set(20, UInt8(0x22))  // longest chain
        reply.set(21, settings.who)
        reply.set(22, UInt8(8))  // messages are counted in blocks of so many bytes
        reply.set(24, UInt16(MPTShared.repliesMax))
        reply.set(26, UInt16(32))  // words of a request
        reply.set(30, model.product)
        reply.set(32, UInt32(truncatingIfNeeded: settings.messageHigh >> 32))
        reply.set(36, UInt16(MPTShared.credits))
        reply.set(38, UInt8(1))  // ports
        reply.set(39, UInt8(settings.eventContext == nil ? 0 : 1))
        reply.set(40, UInt32(truncatingIfNeeded: settings.senseHigh >> 32))
        reply.set(44, settings.replySize)
        reply.set(46, UInt8(Self.targetCount))
        reply.set(47, UInt8(1))  // buses
        reply.set(56, UInt32(0x0132_0000))  // the firmware's version
        return reply
    }

    private func portFacts(_ message: MPTMessage) -> StructureBytes {
        let port = message.byte(6)
        var reply = message.reply(40, status: port == 0 ? MPTStatus.success : MPTStatus.invalidField)
        reply.set(6, port)
        guard port == 0 else { return reply }
        reply.set(21, model.portType)
        reply.set(22, UInt16(Self.targetCount))
        // The controller's own number, which on SAS lies beyond the targets'.
        reply.set(24, model == .parallel ? UInt16(Self.ownTarget) : 112)
        reply.set(26, UInt16(0x09))  // initiator, logical addresses
        return reply
    }

    private func portEnable(_ message: MPTMessage) -> StructureBytes {
        var reply = message.reply(20)
        reply.set(6, message.byte(6))
        return reply
    }

    private func notification(_ message: MPTMessage) -> StructureBytes {
        let isOn = message.byte(0) != 0
        settings.eventContext = isOn ? message.context : nil
        return event(MPTEvent.change, [isOn ? 1 : 0, 0, 0, 0], context: message.context)
    }

    // MARK: Tasks

    private func manageTask(_ message: MPTMessage) -> StructureBytes {
        let number = Int(message.byte(0))
        let task = message.byte(5)
        var reply = message.reply(24)
        reply.set(0, message.byte(0))
        reply.set(1, message.byte(1))
        reply.set(5, task)
        if task == Task.busReset {
            resetBus()
            return reply
        }
        guard message.byte(1) == 0 else {
            reply.set(14, MPTStatus.invalidBus)
            return reply
        }
        guard let target = target(number) else {
            // Resetting what is not there does no harm.
            if task != Task.targetReset { reply.set(14, MPTStatus.deviceNotThere) }
            return reply
        }
        if task != Task.targetReset && message.long(12) != 0 {
            reply.set(4, Response.invalidUnit)
            return reply
        }
        switch task {
        case Task.abort, Task.query:
            let context = message.word(48)
            let isThere = (0..<made).contains { index in
                unsafe slots[index].isInFlight && slots[index].target == number && isPending(index, context: context)
            }
            if task == Task.query {
                reply.set(4, isThere ? Response.succeeded : Response.complete)
            } else if isThere {
                endCommands(of: target, .lost(.aborted)) { self.isPending($0, context: context) }
                reply.set(20, UInt32(1))
            }
        case Task.abortSet, Task.clearSet:
            endCommands(of: target, .lost(.aborted)) { _ in true }
        case Task.targetReset, Task.unitReset: resetTarget(number)
        default: reply.set(4, Response.notSupported)
        }
        return reply
    }
}
