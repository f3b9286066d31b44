/// Something with state: a device, or a part of one.
///
/// It is asked only while the machine stands still. What it saves is what a guest could tell apart; what follows from that (mappings,
/// descriptors, timers, levels of wires) it makes anew from what it restores.
public protocol StateHolder: AnyObject {
    /// The newest version of its list of fields, which is the one that it writes: 1 at first, one more whenever fields are added, after
    /// those there are. Nil: it cannot be saved, and neither can a machine that has it.
    var stateVersion: UInt32? { get }

    /// Writes its fields, or says with `fail` why it cannot now.
    func saveState(_ coder: inout FieldCoder)

    /// Reads fields of `coder.version`, at most `stateVersion`, and becomes what they say. Foreign bytes: everything is checked, and
    /// after a mistake nothing of them is used. The device is as after power-on and does not run yet.
    func restoreState(_ coder: inout FieldCoder)
}

/// The state of one part of a machine: a name that is unique in the machine, a version, and fields.
public struct StateSection: Equatable, Sendable {
    /// Such as `scsi0:0` or `rtc`; at most 255 bytes.
    public var name: String
    public var version: UInt32
    public var bytes: [UInt8]

    public init(name: String, version: UInt32, bytes: [UInt8]) {
        self.name = name
        self.version = version
        self.bytes = bytes
    }

    /// Takes a part's state.
    public init(_ name: String, of part: any StateHolder) throws(StateError) {
        guard let version = part.stateVersion else {
            throw .cannotSave(section: name, "this kind of device cannot be saved")
        }
        var coder = FieldCoder(writing: version)
        part.saveState(&coder)
        if let failure = coder.failure { throw .cannotSave(section: name, failure) }
        self.init(name: name, version: version, bytes: coder.bytes)
    }

    /// Gives the state to a part.
    ///
    /// - Parameter elapsed: nanoseconds since it was taken.
    public func restore(to part: any StateHolder, elapsed: UInt64 = 0) throws(StateError) {
        let newest = part.stateVersion ?? 0
        guard version > 0, version <= newest else {
            throw .futureVersion(section: name, version: version, newest: newest)
        }
        var coder = FieldCoder(reading: bytes, version: version, elapsed: elapsed)
        part.restoreState(&coder)
        try coder.finish(name)
    }
}
