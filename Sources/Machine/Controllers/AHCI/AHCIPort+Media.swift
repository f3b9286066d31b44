import DeviceModel
import Linux
import Synchronization

// Exchanging the CD, on the port's loop.
extension AHCIPort {
    /// What the disk's queue has done. From any thread.
    var counters: BlockCounters? { presentCounters.withLock { $0 } }

    /// Exchanges the CD on the port's thread and waits; see below.
    func changeMediumAndWait(_ medium: (any BlockBackend)?, force: Bool) -> Result<Bool, SystemError> {
        let outcome = Outcome()
        onLoop {
            let result: Result<Bool, SystemError>
            do throws(SystemError) {
                result = .success(try self.changeMedium(medium, force: force))
            } catch { result = .failure(error) }
            outcome.result.withLock { $0 = result }
        }
        return outcome.result.withLock { $0 }
    }

    private final class Outcome: Sendable {
        let result = Mutex<Result<Bool, SystemError>>(.success(false))
    }

    /// Exchanges the CD.
    ///
    /// - Returns: false, having only asked the guest for it, if the guest has locked the medium in.
    func changeMedium(_ medium: (any BlockBackend)?, force: Bool) throws(SystemError) -> Bool {
        guard let unit, device == .cd else { return false }
        if unit.isLocked && !force {
            self.unit?.requestEject()
            return false
        }
        let new = try medium.map { backend throws(SystemError) in try Disk(backend, self) }
        if let disk {
            // What is under way ends with the old medium.
            disk.queue.suspend()
            disk.queue.abandonWaiting()
            failAbandoned()
            disk.queue.close()
        }
        use(new)
        isTrayOut = false
        self.unit?.changeMedium(medium?.geometry)
        if !isPaused { try new?.queue.resume() }
        takeCommands()
        settle()
        return true
    }

    func failAbandoned() {
        for slot in 0..<Self.slotCount where inFlight & 1 << UInt32(slot) != 0 {
            unsafe finish(slot, &slots[slot], .failed)
        }
    }

    /// The guest moves the tray.
    func moveTray(out: Bool) {
        guard isTrayOut != out else { return }
        isTrayOut = out
        unit?.changeMedium(out ? nil : disk?.backend.geometry)
        unsafe owner?.trayMoved(port: index, isOut: out)
    }
}
