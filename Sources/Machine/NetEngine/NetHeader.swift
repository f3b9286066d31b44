/// What goes before each frame between an adapter and a back end: which work on the packet is still to be done.
///
/// It is `virtio_net_hdr` in its virtio 1 form, 12 bytes, little-endian (virtio 1.2, section 5.1.6); taps and vhost speak
/// it, and adapters of other makes translate their descriptors to it.
public struct NetHeader: Equatable, Sendable, BitwiseCopyable {
    /// Bytes it takes.
    public static let size = 12
    /// Where `bufferCount` lies in it.
    public static let bufferCountOffset = 10

    /// Bits of `flags`.
    public enum Flag {
        /// The checksum from `checksumStart` on is to be computed and put at `checksumOffset` from there.
        public static let needsChecksum: UInt8 = 1
        /// The checksum was verified; from back end to adapter only.
        public static let dataValid: UInt8 = 2
    }

    /// How the packet is to be cut.
    public enum Segmentation {
        public static let none: UInt8 = 0
        public static let tcp4: UInt8 = 1
        public static let udp: UInt8 = 3
        public static let tcp6: UInt8 = 4
        /// Set beside a TCP kind.
        public static let ecn: UInt8 = 0x80
    }

    public var flags: UInt8 = 0
    public var segmentation: UInt8 = 0
    /// Length of all protocol headers: a hint.
    public var headerLength: UInt16 = 0
    /// Bytes of payload a segment gets.
    public var segmentSize: UInt16 = 0
    public var checksumStart: UInt16 = 0
    public var checksumOffset: UInt16 = 0
    /// From back end to adapter: how many receive buffers the packet takes.
    public var bufferCount: UInt16 = 0

    public init() {}

    /// Decodes a header that was copied out of memory the guest may change.
    @inlinable public init(_ bytes: InlineArray<12, UInt8>) {
        flags = bytes[0]
        segmentation = bytes[1]
        headerLength = UInt16(bytes[2]) | UInt16(bytes[3]) << 8
        segmentSize = UInt16(bytes[4]) | UInt16(bytes[5]) << 8
        checksumStart = UInt16(bytes[6]) | UInt16(bytes[7]) << 8
        checksumOffset = UInt16(bytes[8]) | UInt16(bytes[9]) << 8
        bufferCount = UInt16(bytes[10]) | UInt16(bytes[11]) << 8
    }

    @inlinable public var bytes: InlineArray<12, UInt8> {
        func low(_ word: UInt16) -> UInt8 { UInt8(truncatingIfNeeded: word) }
        func high(_ word: UInt16) -> UInt8 { UInt8(truncatingIfNeeded: word >> 8) }
        return [
            flags, segmentation, low(headerLength), high(headerLength), low(segmentSize), high(segmentSize),
            low(checksumStart), high(checksumStart), low(checksumOffset), high(checksumOffset), low(bufferCount),
            high(bufferCount),
        ]
    }

    /// Checks and cleans a header that the guest made.
    ///
    /// - Parameters:
    ///   - frameLength: bytes that follow the header.
    ///   - offloads: what the guest may leave undone.
    /// - Returns: the header to hand on; nil if the packet makes no sense and is to be dropped.
    @inlinable public func sanitized(frameLength: Int, offloads: NetOffloads) -> NetHeader? {
        guard frameLength >= Frame.headerLength, frameLength <= Frame.lengthMax else { return nil }
        var result = NetHeader()
        // The other flags speak of received packets.
        if flags & Flag.needsChecksum != 0 {
            guard offloads.contains(.checksum),
                Int(checksumStart) + Int(checksumOffset) + 2 <= frameLength
            else { return nil }
            result.flags = Flag.needsChecksum
            result.checksumStart = checksumStart
            result.checksumOffset = checksumOffset
        }
        if segmentation != Segmentation.none {
            let needed: NetOffloads
            switch segmentation & ~Segmentation.ecn {
            case Segmentation.tcp4: needed = .tcp4
            case Segmentation.tcp6: needed = .tcp6
            case Segmentation.udp: needed = .udp
            default: return nil
            }
            guard offloads.contains(needed), segmentSize > 0, result.flags & Flag.needsChecksum != 0 else { return nil }
            if segmentation & Segmentation.ecn != 0 {
                guard needed != .udp, offloads.contains(.ecn) else { return nil }
            }
            result.segmentation = segmentation
            result.segmentSize = segmentSize
            // A hint that lies is worse than none: the kernel copies that many bytes in one piece.
            result.headerLength = Int(headerLength) <= frameLength ? headerLength : 0
        }
        return result
    }
}

/// Lengths of Ethernet frames, in bytes.
public enum Frame {
    /// Two addresses and the type.
    public static let headerLength = 14
    /// An address pair, a VLAN tag and the type: what a filter looks at.
    public static let filteredLength = 18
    /// The longest packet: 65,535 bytes behind an IPv6 header and an Ethernet header with a VLAN tag.
    public static let lengthMax = 65535 + 40 + 18
}
