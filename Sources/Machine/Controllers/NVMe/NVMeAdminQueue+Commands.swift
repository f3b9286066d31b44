import DeviceModel
import GuestMemory
import Linux
import Synchronization

extension NVMeAdminQueue {
    func perform(_ command: NVMeCommand) -> Answer {
        switch command.opcode {
        case NVMeAdminOpcode.identify: identify(command)
        case NVMeAdminOpcode.getLogPage: getLogPage(command)
        case NVMeAdminOpcode.createCompletionQueue: createCompletionQueue(command)
        case NVMeAdminOpcode.createSubmissionQueue: createSubmissionQueue(command)
        case NVMeAdminOpcode.deleteSubmissionQueue: deleteSubmissionQueue(command)
        case NVMeAdminOpcode.deleteCompletionQueue: deleteCompletionQueue(command)
        case NVMeAdminOpcode.setFeatures: setFeatures(command)
        case NVMeAdminOpcode.getFeatures: getFeatures(command)
        // Bit 0 of the result: the command was not aborted. The disk cannot take requests back.
        case NVMeAdminOpcode.abort: .done(.success, 1)
        case NVMeAdminOpcode.asynchronousEventRequest: requestEvent(command)
        case NVMeAdminOpcode.doorbellBufferConfig: setDoorbellBuffers(command)
        default: .failed(.invalidOpcode)
        }
    }

    /// Hands data to the driver.
    private func answer(_ command: NVMeCommand, _ bytes: [UInt8]) -> Answer {
        if bytes.isEmpty { return .success }
        if let status = segments.fill(ram, command.pointer1, command.pointer2, length: bytes.count) {
            return .failed(status)
        }
        segments.scatter(bytes)
        return .success
    }

    /// The disk of a namespace; nil if there is none.
    private func geometry(_ number: UInt32) -> BlockGeometry? {
        let index = Int(number) - 1
        return backends.indices.contains(index) ? backends[index].geometry : nil
    }

    private func identify(_ command: NVMeCommand) -> Answer {
        let number = command.namespace
        switch command.word10 & 0xff {
        case NVMeIdentify.Structure.controller: return answer(command, identify.controller())
        case NVMeIdentify.Structure.namespace:
            guard let geometry = geometry(number) else { return .failed(.invalidNamespace) }
            return answer(command, NVMeIdentify.namespace(geometry, number: number))
        case NVMeIdentify.Structure.activeNamespaces:
            guard number < 0xffff_fffe else { return .failed(.invalidNamespace) }
            return answer(command, identify.activeNamespaces(after: number))
        case NVMeIdentify.Structure.descriptors:
            guard let geometry = geometry(number) else { return .failed(.invalidNamespace) }
            return answer(command, NVMeIdentify.descriptors(geometry, number: number))
        default: return .failed(.invalidField)
        }
    }

    private func getLogPage(_ command: NVMeCommand) -> Answer {
        let identifier = UInt8(truncatingIfNeeded: command.word10)
        let page: [UInt8]
        switch identifier {
        case NVMeLogPages.Identifier.errors: page = NVMeLogPages.errors()
        case NVMeLogPages.Identifier.health: page = NVMeLogPages.health(groups.flatMap(\.counters))
        case NVMeLogPages.Identifier.firmware: page = NVMeLogPages.firmware()
        case NVMeLogPages.Identifier.changedNamespaces:
            page = NVMeLogPages.changedNamespaces(Array(changedNamespaces))
        default: return .failed(.invalidLogPage)
        }
        // Length in words, counted from zero; what goes beyond a page reads as zeros.
        let words = UInt64(command.word11 & 0xffff) << 16 | UInt64(command.word10 >> 16)
        let offset = UInt64(command.word13) << 32 | UInt64(command.word12)
        guard offset & 3 == 0, offset <= UInt64(page.count) else { return .failed(.invalidField) }
        let length = Int(min((words + 1) * 4, 4096))
        var bytes = Array(page.dropFirst(Int(offset)).prefix(length))
        bytes += [UInt8](repeating: 0, count: length - bytes.count)
        let answer = answer(command, bytes)
        // Unless the driver wants to keep the event.
        if command.word10 & 1 << 15 == 0 {
            unmaskEvents(about: identifier)
            if identifier == NVMeLogPages.Identifier.changedNamespaces { changedNamespaces = [] }
        }
        return answer
    }

    // MARK: Features

    private func setFeatures(_ command: NVMeCommand) -> Answer {
        let identifier = UInt8(truncatingIfNeeded: command.word10)
        if command.word10 & 1 << 31 != 0 { return .failed(.notSaveable) }
        switch identifier {
        case NVMeFeatures.Identifier.numberOfQueues:
            if (submissionGroups + completionGroups).contains(where: { $0 != nil }) {
                return .failed(.commandSequence)
            }
            if command.word11 & 0xffff == 0xffff || command.word11 >> 16 == 0xffff { return .failed(.invalidField) }
            return .done(.success, queueCounts)
        case NVMeFeatures.Identifier.powerManagement:
            // There is one power state.
            return command.word11 & 0x1f == 0 ? .success : .failed(.invalidField)
        case NVMeFeatures.Identifier.interruptVector: return .success
        default:
            guard features.set(identifier, command.word11) else { return .failed(.invalidField) }
            shared.isWriteback.store(features.writeCache != 0, ordering: .relaxed)
            return .success
        }
    }

    /// How many queues of either kind there are, counted from zero.
    private var queueCounts: UInt32 { UInt32(queuesMax - 1) << 16 | UInt32(queuesMax - 1) }

    private func getFeatures(_ command: NVMeCommand) -> Answer {
        let identifier = UInt8(truncatingIfNeeded: command.word10)
        let current: UInt32
        let initial: UInt32
        switch identifier {
        case NVMeFeatures.Identifier.numberOfQueues: (current, initial) = (queueCounts, queueCounts)
        case NVMeFeatures.Identifier.powerManagement: (current, initial) = (0, 0)
        case NVMeFeatures.Identifier.interruptVector:
            (current, initial) = (command.word11 & 0xffff, command.word11 & 0xffff)
        default:
            guard let value = features[identifier], let first = NVMeFeatures()[identifier] else {
                return .failed(.invalidField)
            }
            (current, initial) = (value, first)
        }
        switch command.word10 >> 8 & 7 {
        case 0: return .done(.success, current)
        // The default, and what is saved: nothing is.
        case 1, 2: return .done(.success, initial)
        case 3: return .done(.success, 1 << 2)  // it can be changed
        default: return .failed(.invalidField)
        }
    }

    // MARK: Queues

    /// Checks what creating either kind of queue has in common.
    private func newQueue(_ command: NVMeCommand, _ present: [Int?]) -> (identifier: Int, size: UInt32, NVMeStatus?) {
        let identifier = Int(command.word10 & 0xffff)
        let size = (command.word10 >> 16) + 1
        let status: NVMeStatus? =
            if identifier == 0 || identifier > queuesMax || present[identifier] != nil {
                .invalidQueueIdentifier
            } else if size < 2 || size > NVMeRegisters.queueSizeMax {
                .invalidQueueSize
            } else if command.word11 & 1 == 0 || !hasEntrySizes {
                .invalidField  // queues are contiguous
            } else if command.pointer1 & 0xfff != 0 {
                .invalidPageOffset
            } else {
                nil
            }
        return (identifier, size, status)
    }

    private func shadow(_ word: Int) -> NVMeShadow {
        guard let buffers = doorbellBuffers else { return NVMeShadow() }
        return NVMeShadow(ram, values: buffers.values, events: buffers.events, word: word) ?? NVMeShadow()
    }

    private func createCompletionQueue(_ command: NVMeCommand) -> Answer {
        let (identifier, size, status) = newQueue(command, completionGroups)
        if let status { return .failed(status) }
        let vector = UInt16(truncatingIfNeeded: command.word11 >> 16)
        let event = vectorEvent(Int(vector))
        // On the wire there are 32 vectors that the driver can mask.
        guard event != nil || (vector < 32 && !shared.usesMessages.load(ordering: .relaxed)) else {
            return .failed(.invalidInterruptVector)
        }
        let interrupts = command.word11 & 2 != 0
        let cell = unsafe shared.doorbells.cells + identifier
        unsafe cell.pointee.head.store(0, ordering: .sequentiallyConsistent)
        unsafe cell.pointee.posted.store(0, ordering: .sequentiallyConsistent)
        unsafe cell.pointee.wantsHead.store(false, ordering: .sequentiallyConsistent)
        let queue = unsafe NVMeCompletionQueue(
            .init(address: command.pointer1, size: size, vector: vector, interrupts: interrupts), ram,
            event: event ?? -1, doorbell: cell)
        guard var queue else { return .failed(.dataTransferError) }
        queue.shadow = shadow(2 * identifier + 1)
        let bit: UInt32 = interrupts && vector < 32 ? 1 << UInt32(vector) : 0
        unsafe cell.pointee.interruptBit.store(bit, ordering: .sequentiallyConsistent)
        let number = (identifier - 1) % groups.count
        completionGroups[identifier] = number
        let group = groups[number]
        group.onLoop { [queue] in group.add(queue, UInt16(identifier)) }
        return .success
    }

    private func createSubmissionQueue(_ command: NVMeCommand) -> Answer {
        let (identifier, size, status) = newQueue(command, submissionGroups)
        if let status { return .failed(status) }
        let completion = UInt16(truncatingIfNeeded: command.word11 >> 16)
        guard completion > 0, completion <= queuesMax, let number = completionGroups[Int(completion)] else {
            return .failed(.invalidCompletionQueue)
        }
        let cell = unsafe shared.doorbells.cells + identifier
        unsafe cell.pointee.tail.store(0, ordering: .sequentiallyConsistent)
        let queue = unsafe NVMeSubmissionQueue(
            .init(address: command.pointer1, size: size, completionQueue: completion), ram, doorbell: cell)
        guard var queue else { return .failed(.dataTransferError) }
        queue.shadow = shadow(2 * identifier)
        submissionGroups[identifier] = number
        let group = groups[number]
        completionQueues[identifier] = completion
        if let failure = group.add(queue, started: UInt16(identifier)) {
            report("queue \(identifier): \(failure)")
            return .failed(.dataTransferError)
        }
        if queue.shadow.isPresent { shared.doorbells.bind(identifier, to: group.event) }
        return .success
    }

    private func deleteSubmissionQueue(_ command: NVMeCommand) -> Answer {
        let identifier = Int(command.word10 & 0xffff)
        guard identifier > 0, identifier <= queuesMax, let number = submissionGroups[identifier] else {
            return .failed(.invalidQueueIdentifier)
        }
        shared.doorbells.unbind(identifier)
        let group = groups[number]
        group.onLoop { group.removeSubmissionQueue(UInt16(identifier)) }
        submissionGroups[identifier] = nil
        return .success
    }

    private func deleteCompletionQueue(_ command: NVMeCommand) -> Answer {
        let identifier = Int(command.word10 & 0xffff)
        guard identifier > 0, identifier <= queuesMax, let number = completionGroups[identifier] else {
            return .failed(.invalidQueueIdentifier)
        }
        let isUsed = submissionGroups.indices.contains {
            submissionGroups[$0] != nil && completionQueues[$0] == UInt16(identifier)
        }
        if isUsed { return .failed(.invalidQueueDeletion) }
        let group = groups[number]
        group.onLoop { group.removeCompletionQueue(UInt16(identifier)) }
        let cell = unsafe shared.doorbells.cells + identifier
        unsafe cell.pointee.interruptBit.store(0, ordering: .sequentiallyConsistent)
        completionGroups[identifier] = nil
        updateWire()
        return .success
    }

    /// Doorbells in memory (section 5.7): the driver leaves its indices there, and rings only when we ask for it; then the
    /// kernel can take the ring. Not for the admin queues, whose drivers do not keep to it; and not with the wire, whose
    /// level depends on every move of a head.
    private func setDoorbellBuffers(_ command: NVMeCommand) -> Answer {
        let (values, events) = (command.pointer1, command.pointer2)
        guard shared.usesMessages.load(ordering: .relaxed), (values | events) & 0xfff == 0,
            ram.contains(values, count: 4096), ram.contains(events, count: 4096)
        else { return .failed(.invalidField) }
        doorbellBuffers = (values, events)
        for identifier in 1...queuesMax {
            if let number = submissionGroups[identifier] {
                let (group, shadow) = (groups[number], shadow(2 * identifier))
                group.onLoop { group.setShadow(shadow, submission: UInt16(identifier)) }
                shared.doorbells.bind(identifier, to: group.event)
            }
            if let number = completionGroups[identifier] {
                let (group, shadow) = (groups[number], shadow(2 * identifier + 1))
                group.onLoop { group.setShadow(shadow, completion: UInt16(identifier)) }
            }
        }
        return .success
    }
}
