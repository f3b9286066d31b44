/// A configuration page under construction (Linux, drivers/message/fusion/lsi/mpi_cnfg.h): a header, then fields at their
/// offsets from its start.
struct MPTConfigPage {
    /// Types of pages; those from 0x10 on are extended.
    enum Kind {
        static let ioUnit: UInt8 = 0x00
        static let controller: UInt8 = 0x01
        static let scsiPort: UInt8 = 0x03
        static let scsiDevice: UInt8 = 0x04
        static let manufacturing: UInt8 = 0x09
        static let extended: UInt8 = 0x0f
        static let sasIOUnit: UInt8 = 0x10
        static let sasDevice: UInt8 = 0x12
        static let sasPhy: UInt8 = 0x13
    }

    private(set) var body: StructureBytes

    /// - Parameter count: with the header, a multiple of four.
    init(_ kind: UInt8, _ number: UInt8, version: UInt8, count: Int) {
        body = StructureBytes(count: count)
        body.set(0, version)
        body.set(2, number)
        if kind < Kind.sasIOUnit {
            body.set(1, UInt8(clamping: count / 4))
            body.set(3, kind)
        } else {
            body.set(3, Kind.extended)
            body.set(4, UInt16(clamping: count / 4))
            body.set(6, kind)
        }
    }

    mutating func set<T: FixedWidthInteger>(_ offset: Int, _ value: T) { body.set(offset, value) }

    /// Text, filled up with zeros.
    mutating func set(_ offset: Int, text: String, width: Int) { body.set(offset, text: text, width: width, fill: 0) }

    var bytes: [UInt8] { body.bytes }
}
