import DeviceModel
import GuestMemory
import Linux
import Synchronization

// Taking commands and completing them, on the group's loop.
extension NVMeQueueGroup {
    func setPolled(_ on: Bool) {
        isPolled = on
        for index in 0..<queueCount {
            let cell = unsafe shared.doorbells.cells + Int(identifiers[index])
            unsafe cell.pointee.isPolled.store(on, ordering: .sequentiallyConsistent)
        }
    }

    /// Whether a queue has a command that could be taken.
    func hasNext() -> Bool {
        for index in 0..<queueCount {
            let queue = unsafe submissions + Int(identifiers[index])
            if unsafe !queue.pointee.isHeldBack && queue.pointee.hasNext() { return true }
        }
        return false
    }

    /// Asks the drivers to ring again, or relies on being polled.
    ///
    /// - Returns: whether there is work already.
    func awaitDriver() -> Bool {
        if isPolled { return hasNext() }
        var isWaiting = false
        for index in 0..<queueCount {
            let queue = unsafe submissions + Int(identifiers[index])
            if unsafe queue.pointee.isHeldBack {
                let completion = unsafe completions + Int(queue.pointee.state.completionQueue)
                if unsafe completion.pointee.findRoom() { isWaiting = true }
            } else if unsafe queue.pointee.awaitDriver(ram) {
                isWaiting = true
            }
        }
        return isWaiting
    }

    /// Takes what the driver offers and has the disks do it.
    func serve() {
        if isProcessing || !isRunning { return }
        isProcessing = true
        var goesOn = true
        repeat {
            goesOn = takeCommands()
            commit()
            notify()
        } while goesOn && awaitDriver()
        isProcessing = false
    }

    /// Commits what was submitted to any disk. A disk that is delivering completions goes on by itself.
    func commit() {
        var isDirty = true
        while isDirty {
            isDirty = false
            for index in 0..<diskCount {
                let disk = unsafe disks[index]
                unsafe disk._withUnsafeGuaranteedRef { disk in
                    guard disk.isDirty else { return }
                    disk.isDirty = false
                    isDirty = true
                    disk.queue.commit()
                }
            }
        }
    }

    /// Submits what the drivers offer.
    ///
    /// - Returns: false if there may be more, and we will come back by ourselves.
    func takeCommands() -> Bool {
        var immediate = 0
        for step in 0..<queueCount {
            let place = (firstQueue &+ step) % queueCount
            let identifier = unsafe identifiers[place]
            let queue = unsafe submissions + Int(identifier)
            let completion = unsafe completions + Int(queue.pointee.state.completionQueue)
            unsafe queue.pointee.isHeldBack = false
            // A driver that keeps adding does not keep us from the other queues.
            for _ in 0..<(unsafe queue.pointee.state.size) {
                guard unsafe queue.pointee.hasNext() else { break }
                guard unsafe completion.pointee.reserve() else {
                    unsafe queue.pointee.isHeldBack = true
                    break
                }
                guard let index = takeSlot() else {
                    unsafe completion.pointee.release()
                    isStarved = true
                    // Who had to wait is first the next time.
                    firstQueue = place
                    return false
                }
                let command = unsafe queue.pointee.next()
                unsafe slots[index].queue = identifier
                if unsafe begin(index, &slots[index], command) { continue }
                immediate &+= 1
                if immediate == Self.immediateMax {
                    event.signal()
                    return false
                }
            }
            if unsafe queue.pointee.isBroken && !queue.pointee.isFaultReported {
                unsafe queue.pointee.isFaultReported = true
                unsafe owner?.doorbellFault(identifier)
            }
        }
        isStarved = false
        return true
    }

    func takeSlot() -> Int? {
        if free > 0 {
            free &-= 1
            return unsafe Int(freeSlots[free])
        }
        if made == depth { return nil }
        unsafe (slots + made).initialize(to: NVMeSlot(ram))
        made &+= 1
        return made &- 1
    }

    /// Submits a request for a slot's command.
    @inline(__always)
    func submit(_ index: Int, _ slot: inout NVMeSlot, _ request: BlockRequest) {
        slot.request = request
        slot.request.tag = UInt32(truncatingIfNeeded: index)
        slot.isInFlight = true
        let disk = unsafe disks[slot.namespace]
        let taken = unsafe disk._withUnsafeGuaranteedRef { disk in
            disk.isDirty = true
            return disk.queue.submit(slot.request)
        }
        // A disk's queue is as deep as there are slots.
        if !taken { finish(index, &slot, .dataTransferError) }
    }

    /// A namespace's disk.
    @inline(__always)
    func withDisk<T>(_ index: Int, _ body: (Disk) -> T) -> T {
        unsafe disks[index]._withUnsafeGuaranteedRef { body($0) }
    }

    // MARK: Completion (from the disks)

    func requestDone(_ index: Int, _ status: BlockStatus) {
        guard index < made, unsafe slots[index].isInFlight else { return }
        if unsafe status == .done && slots[index].rangeNext < slots[index].rangeCount {
            if unsafe submitRange(index, &slots[index]) { return }
        }
        unsafe finish(index, &slots[index], Self.status(status, slots[index].request.operation))
    }

    func batchDone() {
        // What is taken now is committed together with whatever else the completions led to.
        guard isRunning, isStarved || hasNext() else { return }
        if isProcessing {
            _ = takeCommands()
        } else {
            serve()
        }
    }

    /// Completes a command and frees its slot.
    func finish(_ index: Int, _ slot: inout NVMeSlot, _ status: NVMeStatus) {
        if slot.request.operation == .read && slot.isInFlight && status == .success {
            slot.segments.markWritten(slot.segments.byteCount)
        }
        slot.isInFlight = false
        slot.rangeCount = 0
        slot.rangeNext = 0
        let queue = unsafe submissions + Int(slot.queue)
        unsafe queue.pointee.inFlight &-= 1
        let completion = unsafe completions + Int(queue.pointee.state.completionQueue)
        unsafe completion.pointee.post(
            status, command: slot.identifier, queue: slot.queue, head: queue.pointee.state.head)
        // The one used last is the one in the processor's cache.
        unsafe freeSlots[free] = UInt16(truncatingIfNeeded: index)
        free &+= 1
    }

    /// Interrupts the guest for what was completed since it was last interrupted.
    func notify() {
        let wire = !shared.usesMessages.load(ordering: .relaxed)
        var changesWire = false
        for index in 0..<completionQueueCount {
            let queue = unsafe completions + Int(completionIdentifiers[index])
            guard unsafe queue.pointee.takeNotification(wire: wire) else { continue }
            if wire {
                changesWire = true
            } else if unsafe queue.pointee.event >= 0 {
                EventFD.signal(raw: unsafe queue.pointee.event)
            }
        }
        if changesWire { unsafe owner?.updateWire() }
    }
}
