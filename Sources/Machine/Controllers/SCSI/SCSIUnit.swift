public import DeviceModel

/// A logical unit, disk or CD drive, without its transport: says what a command descriptor block asks for, and keeps what
/// the unit remembers between commands.
///
/// A plain value that does nothing itself. The transport (ATAPI, PVSCSI, virtio-scsi) calls `decode`, does what the action
/// says, and reports errors of the medium as `SCSISense(status, operation)`.
///
/// Disks follow SBC-3, CD drives MMC-6, both SPC-4. Left out: persistent reservations, protection information, writing of
/// CDs, audio.
public struct SCSIUnit: Sendable {
    public enum Kind: Sendable, BitwiseCopyable {
        case disk
        case cd
    }

    /// What INQUIRY tells.
    public struct Identity: Sendable, Equatable {
        /// At most 8 characters.
        public var vendor: String
        /// At most 16.
        public var product: String
        /// At most 4.
        public var revision: String
        /// Tells one unit from another; empty leaves the pages out that would hold it.
        public var serial: String

        public init(vendor: String, product: String, revision: String, serial: String) {
            self.vendor = vendor
            self.product = product
            self.revision = revision
            self.serial = serial
        }

        /// A disk as VMware's SCSI controllers have it.
        public static func disk(serial: String) -> Identity {
            Identity(vendor: "VMware", product: "Virtual disk", revision: "2.0", serial: serial)
        }

        /// A CD drive as VMware's SATA controller has it.
        public static func cd(serial: String) -> Identity {
            Identity(vendor: "NECVMWar", product: "VMware SATA CD00", revision: "1.00", serial: serial)
        }
    }

    /// Size of a CD's blocks in bytes.
    static let cdBlock: UInt64 = 2048
    /// The longest list that is fetched from an initiator.
    static let parametersMax = 4096
    /// Ranges in one UNMAP.
    static let unmapRangesMax = 255

    public let kind: Kind
    public let identity: Identity
    /// The medium; nil while there is none. Set by `changeMedium`.
    public private(set) var medium: BlockGeometry?

    // What a snapshot saves besides the medium.
    /// What the initiator has to be told before anything else, in order.
    public private(set) var attentions: [SCSISense] = []
    /// The sense of the last command, for REQUEST SENSE.
    public private(set) var sense = SCSISense.none
    /// Whether the initiator locked the medium in.
    public private(set) var isLocked = false
    /// Whether written data may sit in a volatile cache.
    public private(set) var isWriteback = true
    var mediaEvent = MediaEvent.none

    /// What GET EVENT STATUS NOTIFICATION tells of (MMC-6, table 248).
    enum MediaEvent: UInt8, Sendable {
        case none = 0
        case ejectRequest = 1
        case newMedia = 2
        case mediaRemoval = 3
    }

    public init(_ kind: Kind, _ identity: Identity, medium: BlockGeometry?) {
        self.kind = kind
        self.identity = identity
        self.medium = medium
    }

    /// The medium's block size in bytes.
    public var blockSize: UInt64 { kind == .cd ? Self.cdBlock : UInt64(medium?.logicalBlock ?? 512) }
    /// How many blocks the medium has; a CD's incomplete last one does not count.
    public var blockCount: UInt64 { (medium?.capacity ?? 0) / blockSize }
    var isReadOnly: Bool { kind == .cd || medium?.isReadOnly ?? true }
    var canDiscard: Bool { kind == .disk && medium?.canDiscard ?? false }

    /// The medium was put in, taken out or exchanged; nil is none.
    public mutating func changeMedium(_ medium: BlockGeometry?) {
        self.medium = medium
        mediaEvent = medium == nil ? .mediaRemoval : .newMedia
        attentions.removeAll { $0 == .mediumChanged }
        if medium != nil { attentions.append(.mediumChanged) }
    }

    /// The disk has another size.
    public mutating func resize(_ geometry: BlockGeometry) {
        medium = geometry
        if !attentions.contains(.capacityChanged) { attentions.append(.capacityChanged) }
    }

    /// Somebody outside wants the medium out, which the initiator has locked in.
    public mutating func requestEject() { mediaEvent = .ejectRequest }

    /// The unit was reset.
    ///
    /// - Parameter tells: whether the initiator is told so.
    public mutating func reset(tells: Bool) {
        attentions.removeAll { $0 != .mediumChanged }
        if tells { attentions.insert(.reset, at: 0) }
        sense = .none
        isLocked = false
        isWriteback = true
    }

    /// A command ended with this sense; the transport says so for errors that `decode` did not find itself.
    public mutating func note(_ sense: SCSISense) { self.sense = sense }

    // MARK: Commands

    /// What the command asks for.
    public mutating func decode(_ command: SCSICommand) -> SCSIAction {
        let opcode = command.opcode
        // SAM-5, 5.14: these three do not report attentions as CHECK CONDITION.
        if opcode != SCSIOpcode.inquiry && opcode != SCSIOpcode.requestSense && opcode != SCSIOpcode.reportLUNs
            && opcode != SCSIOpcode.getEventStatus, !attentions.isEmpty
        {
            return fail(attentions.removeFirst())
        }
        if opcode == SCSIOpcode.requestSense { return requestSense(command) }
        let action = dispatch(command)
        if case .failed(let sense) = action { return fail(sense) }
        sense = .none
        return action
    }

    private mutating func fail(_ sense: SCSISense) -> SCSIAction {
        self.sense = sense
        return .failed(sense)
    }

    private mutating func dispatch(_ command: SCSICommand) -> SCSIAction {
        if let range = transferRange(command) { return transfer(command, range) }
        switch command.opcode {
        case SCSIOpcode.testUnitReady: return medium == nil ? .failed(.mediumNotPresent) : .good
        case SCSIOpcode.inquiry: return inquiry(command)
        case SCSIOpcode.modeSense6, SCSIOpcode.modeSense10: return modeSense(command)
        case SCSIOpcode.startStopUnit: return startStop(command)
        case SCSIOpcode.preventAllowRemoval:
            isLocked = command[4] & 1 != 0
            return .good
        case SCSIOpcode.readCapacity10: return readCapacity10()
        case SCSIOpcode.reportLUNs: return reportLUNs(command)
        case SCSIOpcode.seek10: return medium == nil ? .failed(.mediumNotPresent) : .good
        default: return kind == .cd ? decodeCD(command) : decodeDisk(command)
        }
    }

    private mutating func requestSense(_ command: SCSICommand) -> SCSIAction {
        let told = attentions.isEmpty ? sense : attentions.removeFirst()
        sense = .none
        return .cut(told.bytes, Int(command[4]))
    }

    private func startStop(_ command: SCSICommand) -> SCSIAction {
        guard kind == .cd, command[4] >> 4 == 0 else { return .good }
        switch command[4] & 3 {
        case 2: return isLocked ? .failed(.removalPrevented) : .eject
        case 3: return .load
        default: return .good
        }
    }

    private func reportLUNs(_ command: SCSICommand) -> SCSIAction {
        let length = Int(clamping: command.big32(6))
        guard length >= 16 else { return .failed(.invalidField) }
        var data = StructureBytes(count: 16)
        data.setBig(0, UInt32(8))  // one unit, of number zero
        return .cut(data.bytes, length)
    }

    private func readCapacity10() -> SCSIAction {
        guard medium != nil else { return .failed(.mediumNotPresent) }
        var data = StructureBytes(count: 8)
        data.setBig(0, UInt32(clamping: max(blockCount, 1) - 1))
        data.setBig(4, UInt32(clamping: blockSize))
        return .data(data.bytes)
    }

    // MARK: Reading and writing

    /// The range that a read, write or verify is about; nil if it is another command.
    private func transferRange(_ command: SCSICommand) -> SCSIRange? {
        switch command.opcode {
        case SCSIOpcode.read10, SCSIOpcode.write10, SCSIOpcode.verify10:
            SCSIRange(block: UInt64(command.big32(2)), count: UInt64(command.big16(7)))
        case SCSIOpcode.read6, SCSIOpcode.write6:
            // Zero stands for 256.
            SCSIRange(
                block: UInt64(command.big24(1) & 0x1f_ffff), count: command[4] == 0 ? 256 : UInt64(command[4]))
        case SCSIOpcode.read12, SCSIOpcode.write12, SCSIOpcode.verify12:
            SCSIRange(block: UInt64(command.big32(2)), count: UInt64(command.big32(6)))
        case SCSIOpcode.read16, SCSIOpcode.write16, SCSIOpcode.verify16:
            SCSIRange(block: command.big64(2), count: UInt64(command.big32(10)))
        default: nil
        }
    }

    private func transfer(_ command: SCSICommand, _ range: SCSIRange) -> SCSIAction {
        if let sense = check(range) { return .failed(sense) }
        switch command.opcode {
        case SCSIOpcode.read6, SCSIOpcode.read10, SCSIOpcode.read12, SCSIOpcode.read16:
            return range.count == 0 ? .good : .read(range)
        case SCSIOpcode.verify10, SCSIOpcode.verify12, SCSIOpcode.verify16:
            // Comparing with the initiator's data is not offered.
            return command[1] & 6 == 0 ? .good : .failed(.invalidField)
        default:
            if kind == .cd { return .failed(.invalidOpcode) }
            if isReadOnly { return .failed(.writeProtected) }
            let isForced = command.opcode != SCSIOpcode.write6 && command[1] & 8 != 0
            return range.count == 0 ? .good : .write(range, durable: isForced || !isWriteback)
        }
    }

    /// Checks a range against the medium.
    func check(_ range: SCSIRange) -> SCSISense? {
        guard medium != nil else { return .mediumNotPresent }
        let (end, overflow) = range.block.addingReportingOverflow(range.count)
        return overflow || end > blockCount ? .outOfRange : nil
    }

    // MARK: What the initiator sent along

    /// Goes on with a command whose parameters were fetched.
    public mutating func accept(_ list: SCSIParameterList, _ bytes: [UInt8]) -> SCSIAction {
        let action: SCSIAction =
            switch list {
            case .unmap: acceptUnmap(bytes)
            case .modes(let isLong): acceptModes(bytes, isLong: isLong)
            case .sameBlock(let range, let mayUnmap):
                bytes.allSatisfy { $0 == 0 } ? .zero(range, mayUnmap: mayUnmap) : .failed(.invalidParameter)
            }
        if case .failed(let sense) = action { return fail(sense) }
        return action
    }

    mutating func setWriteback(_ on: Bool) { isWriteback = on }
}

extension SCSIAction {
    /// Bytes, of which the initiator takes so many.
    static func cut(_ bytes: [UInt8], _ length: Int) -> SCSIAction { .data(Array(bytes.prefix(max(length, 0)))) }
}
