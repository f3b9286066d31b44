public import DeviceModel
public import Linux

/// What hangs on a SCSI host adapter under a target number.
public enum SCSIDrive: Sendable {
    /// A disk of 512- or 4096-byte blocks.
    case disk(any BlockBackend)
    /// A CD drive, with the CD that is in it.
    ///
    /// - Parameter serial: printable ASCII.
    case cd((any BlockBackend)?, serial: String)
}

/// A device with CD drives, whose CDs can be exchanged while the guest runs.
public protocol MediumChanger: AnyObject {
    /// Exchanges the CD in a drive, or takes it out (nil). From any thread but the loops'.
    ///
    /// - Parameters:
    ///   - port: the drive's port or target number.
    ///   - force: even if the guest has locked it in. Otherwise such a guest is asked to let go of it.
    /// - Returns: whether the CD was exchanged.
    /// - Throws: when the new CD cannot be read; the old one stays in.
    func changeMedium(port: Int, to medium: (any BlockBackend)?, force: Bool) throws(SystemError) -> Bool
}

extension AHCIController: MediumChanger {}

/// A host adapter whose drives come and go while the guest runs.
public protocol SCSIHostAdapter: MediumChanger {
    /// What the disks' queues have done. Readable from any thread.
    var counters: [BlockCounters] { get }
    /// Hangs a drive on a free target number, and tells the guest. From any thread but the loop's.
    func attach(_ drive: SCSIDrive, target: Int) throws(SystemError)
    /// Takes a drive away: its commands end with an error, and the guest is told. From any thread but the loop's.
    func detach(target: Int)
}
