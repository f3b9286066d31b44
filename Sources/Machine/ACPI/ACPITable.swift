import Bytes

/// One structure of the ACPI tables with its contents but not yet an address.
///
/// Pointers to other tables are listed, not filled in, so that one content serves both a direct boot (addresses known)
/// and a firmware that loads the tables itself and patches them.
struct ACPITable: Equatable, Sendable {
    /// A place in the table that must hold the address of another one.
    struct Pointer: Equatable, Sendable {
        /// Where the address goes, in bytes from the start of this table.
        var offset: Int
        /// How many bytes the address has: 4 or 8.
        var width: Int
        /// The signature of the table it points at.
        var target: String
    }

    /// Four characters, such as "FACP". The DSDT and the FACS are unique too, so a signature names a table.
    let signature: String
    var bytes: [UInt8]
    var pointers: [Pointer] = []
    /// What the address must be a multiple of.
    var alignment = 16
    /// Where the checksum goes, or `nil` if the structure has none.
    var checksumOffset: Int? = 9

    /// Fields that every ACPI table header repeats.
    struct Maker: Equatable, Sendable {
        var oemIdentifier: String
        var oemTableIdentifier: String

        init(_ configuration: ACPIConfiguration) {
            oemIdentifier = configuration.oemIdentifier
            oemTableIdentifier = configuration.oemTableIdentifier
        }
    }

    /// A table with the common header (ACPI 6.5, 5.2.6) in front of its body.
    init(_ signature: String, revision: UInt8, by maker: Maker, body: [UInt8]) {
        self.signature = signature
        var writer = ByteWriter()
        writer.text(signature, width: 4)
        writer.little(UInt32(Self.headerCount + body.count))
        writer.append([revision, 0])
        writer.text(maker.oemIdentifier, width: 6, fill: 0x20)
        writer.text(maker.oemTableIdentifier, width: 8, fill: 0x20)
        writer.little(UInt32(1))  // OEM revision
        writer.text("WAFR", width: 4)
        writer.little(UInt32(1))  // creator revision
        writer.append(body)
        bytes = writer.bytes
    }

    /// A structure with a layout of its own.
    init(raw signature: String, _ bytes: [UInt8], alignment: Int) {
        self.signature = signature
        self.bytes = bytes
        self.alignment = alignment
        checksumOffset = nil
    }

    /// Length of the common header.
    static let headerCount = 36
}

extension ByteWriter {
    /// Writes a Generic Address Structure (ACPI 6.5, 5.2.3.2) for I/O ports.
    ///
    /// - Parameter accessWidth: bytes of one access: 1, 2 or 4.
    mutating func ioAddress(_ port: UInt16, bits: UInt8, accessWidth: UInt8) {
        let accessSize: UInt8 = accessWidth == 4 ? 3 : accessWidth
        append([1, bits, 0, accessSize])
        little(UInt64(port))
    }

    /// Writes a Generic Address Structure that says there is no such register.
    mutating func noAddress() { zeros(12) }
}

/// The byte that makes the sum of all of them zero.
func acpiChecksum(_ bytes: some Sequence<UInt8>) -> UInt8 { 0 &- bytes.reduce(0, &+) }
