import DeviceModel
import GuestMemory
import Linux

/// Takes requests from PVSCSI's rings and completes them there. Belongs to the adapter's loop.
@safe final class PVSCSIEngine: SCSIEngine, @unchecked Sendable {
    // @unchecked: as for SCSIEngine.

    /// What completing a request needs of it.
    private struct Pending: BitwiseCopyable {
        var context: UInt64 = 0
        var sense: GuestAddress = 0
        var senseCount: UInt32 = 0
    }

    private let interrupts: StatusInterrupt
    private let log: @Sendable (String) -> Void
    /// By slot.
    private let pending: UnsafeMutablePointer<Pending>
    /// Nil until the driver sets them up.
    private var rings: PVSCSIRings?
    private var needsInterrupt = false
    private var hasFault = false

    init(
        _ drives: [SCSIDrive?], ram: GuestRAM, loop: EventLoop?, depth: Int, interrupts: StatusInterrupt,
        trayMoved: @escaping @Sendable (_ target: Int, _ isOut: Bool) -> Void, log: @escaping @Sendable (String) -> Void
    ) throws(SystemError) {
        self.interrupts = interrupts
        self.log = log
        unsafe pending = .allocate(capacity: depth)
        unsafe pending.initialize(repeating: Pending(), count: depth)
        try super.init(drives, ram: ram, loop: loop, depth: depth, trayMoved: trayMoved)
    }

    deinit { unsafe pending.deallocate() }

    private func failed(_ reason: String) {
        if hasFault { return }
        hasFault = true
        log("PVSCSI: \(reason)")
    }

    // MARK: Commands to the adapter

    /// The driver resets the adapter: rings and requests are gone.
    func resetAdapter(tells: Bool) {
        rings = nil
        needsInterrupt = false
        hasFault = false
        resetAll(tells: tells)
        interrupts.reset()
    }

    /// - Returns: whether the rings can be used.
    func setUp(_ state: PVSCSIRings.State) -> Bool {
        if rings != nil { resetAdapter(tells: false) }
        rings = PVSCSIRings(state, ram)
        if rings == nil { failed("the rings are not guest memory, or have no sensible size") }
        do throws(SystemError) { try start() } catch { failed("\(error)") }
        serve()
        return rings != nil
    }

    func setUpMessages(_ pages: [GuestAddress]) -> Bool { rings?.setUpMessages(pages) ?? false }

    /// Aborts a request, if there still is one of that context.
    func abort(_ context: UInt64, target number: Int) {
        // It may not have been taken yet.
        serve()
        guard let target = target(number) else { return }
        let pending = unsafe self.pending
        endCommands(of: target, .lost(.aborted)) { unsafe pending[$0].context == context }
    }

    func resetAllTargets() {
        serve()
        resetBus()
    }

    func reset(target: Int) {
        serve()
        resetTarget(target)
    }

    // MARK: Requests

    override func hasNext() -> Bool { rings?.hasNext() ?? false }

    override func takeCommands() -> Bool {
        isStarved = false
        var immediate = 0
        for _ in 0..<depth {
            guard hasNext(), let index = takeSlot() else { return !isStarved }
            guard let request = rings?.next() else {
                giveBack(index)
                if rings?.isBroken == true { failed("the driver offers more requests than its ring has") }
                return true
            }
            if unsafe begin(index, &slots[index], request) { continue }
            immediate &+= 1
            if immediate == Self.immediateMax && loop != nil {
                event.signal()
                return false
            }
        }
        return true
    }

    /// - Returns: whether a disk is at work on it; else it has ended.
    private func begin(_ index: Int, _ slot: inout SCSISlot, _ request: PVSCSIRequest) -> Bool {
        unsafe pending[index] = Pending(
            context: request.context, sense: request.sense, senseCount: request.senseCount)
        slot.target = request.bus == 0 ? Int(request.target) : -1
        slot.unit = request.unit
        slot.direction = request.direction
        guard request.flags & PVSCSIRequest.Flag.outOfBand == 0, slot.segments.fill(ram, request) else {
            finish(index, &slot, .lost(.invalid))
            return false
        }
        return execute(index, &slot, request.command)
    }

    override func commandDone(_ index: Int, _ slot: inout SCSISlot, _ outcome: SCSIOutcome) {
        let request = unsafe pending[index]
        var senseCount = 0
        if outcome.status == SCSIOutcome.Status.checkCondition {
            senseCount = outcome.sense.store(
                ram, at: request.sense, room: Int(truncatingIfNeeded: request.senseCount))
        }
        rings?.complete(
            request.context, moved: UInt64(truncatingIfNeeded: outcome.moved),
            senseCount: UInt32(truncatingIfNeeded: senseCount), hostStatus: Self.hostStatus(outcome.delivery),
            status: UInt16(outcome.status))
    }

    private static func hostStatus(_ delivery: SCSIOutcome.Delivery) -> UInt16 {
        switch delivery {
        case .answered: PVSCSIHostStatus.success
        case .noTarget: PVSCSIHostStatus.noTarget
        case .overrun: PVSCSIHostStatus.overrun
        case .aborted: PVSCSIHostStatus.aborted
        case .reset: PVSCSIHostStatus.busReset
        case .invalid: PVSCSIHostStatus.invalid
        }
    }

    override func publish() {
        if rings?.publish() == true { needsInterrupt = true }
    }

    override func interrupt() {
        if !needsInterrupt { return }
        needsInterrupt = false
        interrupts.raise(PVSCSIInterrupt.completion)
    }

    override func targetChanged(_ number: Int, isPresent: Bool) {
        // A driver without a ring for it finds out when it looks for targets again.
        if rings?.tell(target: UInt32(truncatingIfNeeded: number), isPresent: isPresent) == true {
            interrupts.raise(PVSCSIInterrupt.message)
        }
    }
}
