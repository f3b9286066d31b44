import Bytes
import Signatures

/// The header of one copy in the state area. See docs/formats/state-area.md.
struct StateSlotHeader: Equatable {
    static let magic = Array("WAFERST\n".utf8)
    static let version: UInt32 = 1
    /// Bytes of the header that are not zero.
    static let size = 96
    /// Higher numbers are damage: nothing ever counts that far.
    static let sequenceMax: UInt64 = 1 << 62

    /// Counts the saves; the higher one of two copies is the newer.
    var sequence: UInt64
    /// Bytes of the payload.
    var length: Int
    /// SHA-256 of the payload.
    var digest: [UInt8]

    init(sequence: UInt64, payload: [UInt8]) {
        self.sequence = sequence
        length = payload.count
        digest = SHA256.digest(of: payload)
    }

    /// What can stand where a header should.
    enum Reading: Equatable {
        case valid(StateSlotHeader)
        /// Nothing was ever written.
        case empty
        /// A header's beginning, but not whole, or with impossible numbers.
        case damaged
        /// Written by a later version of this format.
        case unsupported(UInt32)
        /// Something else.
        case foreign
    }

    /// Reads a header from the first bytes of a slot.
    static func read(_ bytes: [UInt8]) -> Reading {
        guard bytes.count >= size else { return .damaged }
        if bytes.allSatisfy({ $0 == 0 }) { return .empty }
        guard Array(bytes[..<8]) == magic else { return .foreign }
        let head = Array(bytes[..<64])
        guard equalInConstantTime(SHA256.digest(of: head), Array(bytes[64..<size])) else { return .damaged }
        do throws(OutOfBounds) {
            var reader = ByteReader(head.span)
            try reader.skip(8)
            let version = try reader.little(UInt32.self)
            guard version == Self.version else { return .unsupported(version) }
            try reader.skip(4)
            let sequence = try reader.little(UInt64.self)
            let length = try reader.little(UInt64.self)
            let digest = try reader.array(SHA256.size)
            guard (1...sequenceMax).contains(sequence), length <= UInt64(StateArea.payloadMax) else { return .damaged }
            return .valid(StateSlotHeader(sequence: sequence, length: Int(length), digest: digest))
        } catch { return .damaged }
    }

    private init(sequence: UInt64, length: Int, digest: [UInt8]) {
        self.sequence = sequence
        self.length = length
        self.digest = digest
    }

    /// The header as it is written.
    var bytes: [UInt8] {
        var writer = ByteWriter()
        writer.append(Self.magic)
        writer.little(Self.version)
        writer.little(UInt32(0))
        writer.little(sequence)
        writer.little(UInt64(length))
        writer.append(digest)
        writer.append(SHA256.digest(of: writer.bytes))
        return writer.bytes
    }
}
