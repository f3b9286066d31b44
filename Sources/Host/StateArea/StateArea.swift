public import BlockStore
import Linux
import Signatures

/// What a host keeps across restarts, as one piece of bytes in two copies, of which one is always whole.
///
/// A save writes the older copy's place: first the payload, and when that is safe, the header that makes it the newer copy. Loading
/// takes the newest copy that is whole. See docs/formats/state-area.md. For one thread.
public final class StateArea {
    /// Bytes from one copy's beginning to the next one's.
    public static let slotSize = 6 << 20
    /// Where the payload begins in a copy: one block of any disk, so that writing the payload never touches the header.
    static let payloadOffset = 4096
    /// The longest payload.
    public static let payloadMax = slotSize - payloadOffset
    /// The least a partition must have, in bytes. What lies behind that is not touched.
    public static let sizeMin = UInt64(2 * slotSize)

    /// One save.
    public struct Copy: Equatable, Sendable {
        /// Higher than that of every earlier save.
        public var sequence: UInt64
        public var payload: [UInt8]
    }

    private let store: any BlockStore
    /// The newest whole copy; nil if nothing was ever saved, or nothing is whole.
    public private(set) var current: Copy?
    /// What was not as it should be when it was loaded, for the administrator.
    public private(set) var findings: [StateFinding] = []
    /// Which copy `current` lies in.
    private var currentSlot = 1
    /// The highest number that any header had.
    private var sequence: UInt64 = 0

    /// Loads.
    ///
    /// - Throws: if the store is too small. What cannot be read is a finding.
    public init(_ store: any BlockStore) throws(StateAreaError) {
        guard store.size >= Self.sizeMin else { throw .tooSmall(store.name, bytes: store.size) }
        self.store = store
        let slots = (0..<2).map(load)
        for (number, slot) in slots.enumerated() {
            if case .whole(let copy) = slot, copy.sequence > current?.sequence ?? 0 {
                current = copy
                currentSlot = number
            }
        }
        for slot in slots {
            switch slot {
            case .whole, .empty: break
            case .payloadDamaged(let number):
                // A header is written when its payload is safe. So an older header than the good copy's over a payload that does not
                // fit it is a save that was cut off.
                findings.append(
                    number < current?.sequence ?? 0
                        ? .interrupted : .damaged(sequence: number, isRecovered: current != nil))
            case .headerDamaged: findings.append(.damaged(sequence: nil, isRecovered: current != nil))
            case .unreadable(let error): findings.append(.unreadable(error, isRecovered: current != nil))
            case .unsupported(let version): findings.append(.unsupported(version, isRecovered: current != nil))
            case .foreign: findings.append(.foreign)
            }
        }
    }

    /// Saves; returns when it is safe from a power cut. Writes nothing if it is what was saved last.
    ///
    /// - Returns: the saved copy's sequence number.
    /// - Throws: if it failed. `current` is then as before; after a restart it is the one or the other.
    @discardableResult
    public func save(_ payload: [UInt8]) throws(StateAreaError) -> UInt64 {
        if let current, current.payload == payload { return current.sequence }
        guard payload.count <= Self.payloadMax else { throw .tooLong(bytes: payload.count) }
        guard sequence < StateSlotHeader.sequenceMax else { throw .exhausted }
        // Also after a failure: its header may have reached the disk.
        sequence += 1
        let header = StateSlotHeader(sequence: sequence, payload: payload)
        let slot = 1 - currentSlot
        do {
            try store.write(payload, at: Self.start(of: slot) + UInt64(Self.payloadOffset))
            try store.flush()
            try store.write(header.bytes, at: Self.start(of: slot))
            try store.flush()
        } catch { throw .failed(error) }
        current = Copy(sequence: sequence, payload: payload)
        currentSlot = slot
        return sequence
    }

    private enum Slot {
        case whole(Copy)
        case empty
        case headerDamaged
        case payloadDamaged(sequence: UInt64)
        case unsupported(UInt32)
        case foreign
        case unreadable(SystemError)
    }

    private func load(_ number: Int) -> Slot {
        do throws(SystemError) {
            let start = Self.start(of: number)
            switch StateSlotHeader.read(try store.read(StateSlotHeader.size, at: start)) {
            case .empty: return .empty
            case .damaged: return .headerDamaged
            case .foreign: return .foreign
            case .unsupported(let version): return .unsupported(version)
            case .valid(let header):
                sequence = max(sequence, header.sequence)
                let payload = try store.read(header.length, at: start + UInt64(Self.payloadOffset))
                guard SHA256.digest(of: payload) == header.digest else {
                    return .payloadDamaged(sequence: header.sequence)
                }
                return .whole(Copy(sequence: header.sequence, payload: payload))
            }
        } catch { return .unreadable(error) }
    }

    private static func start(of slot: Int) -> UInt64 { UInt64(slot * slotSize) }
}
