import DeviceModel
import Linux

/// A disk or CD drive behind a host adapter. Belongs to the adapter's loop.
@safe final class SCSITarget: @unchecked Sendable {  // belongs to the loop's thread

    /// The disk, or the CD in the drive; tells the adapter what its queue has done.
    final class Medium: BlockClient, @unchecked Sendable {  // belongs to the loop's thread
        let queue: any BlockQueue
        let backend: any BlockBackend
        private unowned(unsafe) let engine: SCSIEngine
        /// Requests were submitted and not committed.
        var isDirty = false

        init(_ backend: any BlockBackend, _ engine: SCSIEngine) throws(SystemError) {
            self.backend = backend
            queue = try backend.makeQueue(on: engine.loop, depth: engine.depth)
            // The engine closes the queue before it goes.
            unsafe self.engine = engine
            super.init()
            queue.attach(self)
        }

        override func blockRequestDone(_ tag: UInt32, _ status: BlockStatus) {
            unsafe engine.requestDone(Int(truncatingIfNeeded: tag), status)
        }
        override func blockBatchDone() { unsafe engine.batchDone() }
        override func blockBatchesDone() { unsafe engine.notify() }
    }

    let number: Int
    /// What a snapshot saves, besides whether the tray is out.
    var unit: SCSIUnit
    private(set) var medium: Medium?
    /// The same once more: using it counts no references.
    private(set) var hotMedium: Unmanaged<Medium>?
    /// The guest opened the tray, with the CD still on it.
    var isTrayOut = false

    init(_ number: Int, _ drive: SCSIDrive, _ engine: SCSIEngine) throws(SystemError) {
        self.number = number
        switch drive {
        case .disk(let backend):
            let medium = try Medium(backend, engine)
            unit = SCSIUnit(.disk, .disk(serial: backend.geometry.identity), medium: backend.geometry)
            use(medium)
        case .cd(let backend, let serial):
            let medium = try backend.map { backend throws(SystemError) in try Medium(backend, engine) }
            let identity = SCSIUnit.Identity(
                vendor: "NECVMWar", product: "VMware SCSI CD00", revision: "1.00", serial: serial)
            unit = SCSIUnit(.cd, identity, medium: backend?.geometry)
            use(medium)
        }
    }

    func use(_ medium: Medium?) {
        self.medium = medium
        unsafe hotMedium = unsafe medium.map { unsafe .passUnretained($0) }
    }
}
