import DeviceModel
import Linux
import Synchronization

// Resets, aborts, and targets and CDs that come and go. On the adapter's loop, unless it says otherwise.
extension SCSIEngine {
    // MARK: Ending commands

    /// Forgets all commands without a word: the adapter was reset. What the disks have begun they finish first.
    ///
    /// - Parameter tells: whether the driver finds out that the targets were reset.
    final func resetAll(tells: Bool) {
        isSettling = true
        forEachTarget { target in
            if let queue = target.medium?.queue {
                queue.suspend()
                // Requests that wait because the storage is full are nobody's any more.
                queue.abandonWaiting()
                if !isPaused { try? queue.resume() }
            }
            target.unit.reset(tells: tells)
        }
        for index in 0..<made where unsafe slots[index].isInFlight { unsafe forget(index, &slots[index]) }
        isSettling = false
        isStarved = false
    }

    private final func forget(_ index: Int, _ slot: inout SCSISlot) {
        slot.isInFlight = false
        slot.ranges = []
        giveBack(index)
    }

    /// Waits for what the disks have begun, and shows the driver how it ended.
    final func settleDisks() {
        isSettling = true
        forEachTarget { target in
            guard let queue = target.medium?.queue, !isPaused else { return }
            queue.suspend()
            try? queue.resume()
        }
        isSettling = false
    }

    /// Resets a target: its commands end, those that the disk could not finish with `outcome`.
    final func resetTarget(_ number: Int, _ outcome: SCSIOutcome = .lost(.reset)) {
        guard let target = target(number) else { return }
        endCommands(of: target, outcome) { _ in true }
        target.unit.reset(tells: true)
    }

    final func resetBus() { forEachTarget { resetTarget($0.number) } }

    /// Ends commands of a target: what the disk has begun it finishes, what waits for an answer because the storage is full ends
    /// with `outcome`, if it is meant.
    final func endCommands(of target: SCSITarget, _ outcome: SCSIOutcome, where isMeant: (Int) -> Bool) {
        guard let queue = target.medium?.queue, !isPaused else { return }
        isSettling = true
        if queue.suspend() > 0 {
            // The disk cannot forget one request alone: it forgets all, and is asked for the others again.
            queue.abandonWaiting()
            try? queue.resume()
            for index in 0..<made {
                guard unsafe slots[index].isInFlight && slots[index].target == target.number else { continue }
                if isMeant(index) {
                    unsafe finish(index, &slots[index], outcome)
                } else {
                    _ = unsafe queue.submit(slots[index].request)
                    target.medium?.isDirty = true
                }
            }
        } else {
            try? queue.resume()
        }
        isSettling = false
        goOn()
    }

    /// After something else than a command was done.
    private final func goOn() {
        notify()
        commit()
        // What was not taken meanwhile.
        event.signal()
        if loop == nil { serve() }
    }

    private final func forEachTarget(_ body: (SCSITarget) -> Void) {
        for number in 0..<Self.targetCount {
            if let target = target(number) { body(target) }
        }
    }

    // MARK: Hot plug

    /// Hangs a drive on while the guest runs, and tells the driver if there is a way to. From any thread but the loop's.
    func attach(_ drive: SCSIDrive, at number: Int) throws(SystemError) {
        let outcome = Outcome()
        onLoop {
            do throws(SystemError) {
                guard self.target(number) == nil, (0..<Self.targetCount).contains(number), number != Self.ownTarget
                else { return }
                let target = try SCSITarget(number, drive, self)
                if !self.isPaused { try target.medium?.queue.resume() }
                self.place(target, at: number)
                self.watchGeometry(number)
                self.targetChanged(number, isPresent: true)
                self.notify()
            } catch { outcome.result.withLock { $0 = .failure(error) } }
        }
        _ = try outcome.result.withLock { $0 }.get()
    }

    /// Takes a drive away while the guest runs; its commands end, and the driver is told. From any thread but the loop's.
    func detach(_ number: Int) {
        onLoop {
            guard let target = self.target(number) else { return }
            self.isSettling = true
            self.releaseMedium(of: target, .lost(.noTarget))
            target.medium?.backend.observeGeometry(nil)
            self.place(nil, at: number)
            target.use(nil)
            self.isSettling = false
            self.targetChanged(number, isPresent: false)
            self.goOn()
        }
    }

    /// Ends what is under way with a medium, and closes it.
    private final func releaseMedium(of target: SCSITarget, _ outcome: SCSIOutcome) {
        guard let queue = target.medium?.queue else { return }
        queue.suspend()
        queue.abandonWaiting()
        for index in 0..<made {
            guard unsafe slots[index].isInFlight && slots[index].target == target.number else { continue }
            unsafe finish(index, &slots[index], outcome)
        }
        queue.close()
    }

    /// Tells a disk's unit when the disk's size changes.
    final func watchGeometry(_ number: Int) {
        guard let target = target(number), target.unit.kind == .disk else { return }
        target.medium?.backend.observeGeometry { [weak self] geometry in
            self?.soonOnLoop { [weak self] in
                guard let self, let target = self.target(number) else { return }
                target.unit.resize(geometry)
                self.sizeChanged(number)
                self.notify()
            }
        }
    }

    final func watchGeometries() { forEachTarget { watchGeometry($0.number) } }

    // MARK: CDs

    private final class Outcome: Sendable {
        let result = Mutex<Result<Bool, SystemError>>(.success(false))
    }

    /// Exchanges the CD on the loop's thread and waits; see `MediumChanger`.
    final func changeMediumAndWait(
        _ number: Int, to medium: (any BlockBackend)?, force: Bool
    ) throws(SystemError) -> Bool {
        let outcome = Outcome()
        onLoop {
            let result: Result<Bool, SystemError>
            do throws(SystemError) {
                result = .success(try self.changeMedium(number, to: medium, force: force))
            } catch { result = .failure(error) }
            outcome.result.withLock { $0 = result }
        }
        return try outcome.result.withLock { $0 }.get()
    }

    private final func changeMedium(
        _ number: Int, to backend: (any BlockBackend)?, force: Bool
    ) throws(SystemError) -> Bool {
        guard let target = target(number), target.unit.kind == .cd else { return false }
        if target.unit.isLocked && !force {
            target.unit.requestEject()
            return false
        }
        let medium = try backend.map { backend throws(SystemError) in try SCSITarget.Medium(backend, self) }
        if !isPaused { try medium?.queue.resume() }
        isSettling = true
        // What is under way ends with the old medium.
        releaseMedium(of: target, .check(.readError))
        target.use(medium)
        countMedia()
        target.isTrayOut = false
        target.unit.changeMedium(backend?.geometry)
        isSettling = false
        mediumChanged(number)
        goOn()
        return true
    }
}
