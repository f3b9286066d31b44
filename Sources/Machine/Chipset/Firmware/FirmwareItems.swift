import Bytes

/// What fw_cfg tells firmware: items by number and files by name. Put together before the machine starts.
public struct FirmwareItems: Sendable {
    /// Keys of items without a name (QEMU's fw_cfg specification and `hw/nvram/fw_cfg` keys).
    public enum Key {
        public static let signature: UInt16 = 0x00
        /// Bit 0: the ports; bit 1: DMA.
        public static let features: UInt16 = 0x01
        public static let uuid: UInt16 = 0x02
        /// Bytes of RAM, u64.
        public static let memory: UInt16 = 0x03
        /// u16; not 0: no screen, so that SeaBIOS talks to a serial port.
        public static let noGraphic: UInt16 = 0x04
        /// Processors that are there at the start, u16.
        public static let processors: UInt16 = 0x05
        /// Kernel and initial RAM disk: their lengths, u32; zero here.
        public static let kernelSize: UInt16 = 0x08
        public static let initrdSize: UInt16 = 0x0b
        public static let numa: UInt16 = 0x0d
        /// u16; not 0: firmware offers its boot menu.
        public static let bootMenu: UInt16 = 0x0e
        /// The greatest number of processors, or one more than the greatest APIC identifier, u16.
        public static let processorsMax: UInt16 = 0x0f
        public static let commandLineSize: UInt16 = 0x14
        public static let setupSize: UInt16 = 0x17
        public static let directory: UInt16 = 0x19
        public static let firstFile: UInt16 = 0x20
        /// Tables in forms older than the table loader's: none.
        public static let oldTables: UInt16 = 0x8000
        public static let oldSMBIOS: UInt16 = 0x8001
        /// u8; 1: the timer's interrupt 0 arrives at the IOAPIC's pin 2.
        public static let timerOverride: UInt16 = 0x8002
    }

    /// Length of a name in the directory, with its terminating zero.
    static let nameCountMax = 56

    private struct Item {
        var key: UInt16
        var bytes: [UInt8]
        var isWritable = false
    }

    private var items: [Item] = []
    private var indices: [UInt16: Int] = [:]
    private var names: [String: Int] = [:]
    private var files: [(name: String, item: Int)] = []

    /// The items every machine has.
    public init() {
        set(Key.signature, Array("QEMU".utf8))
        set(Key.features, UInt32(3))
        for key in [Key.kernelSize, Key.initrdSize, Key.commandLineSize, Key.setupSize] { set(key, UInt32(0)) }
        set(Key.numa, UInt64(0))
        set(Key.oldTables, UInt16(0))
        set(Key.oldSMBIOS, UInt16(0))
        set(Key.timerOverride, UInt8(1))
        set(Key.directory, UInt32(0))
    }

    /// Sets an item by number.
    public mutating func set(_ key: UInt16, _ bytes: [UInt8]) {
        if let index = indices[key] {
            items[index].bytes = bytes
        } else {
            indices[key] = items.count
            items.append(Item(key: key, bytes: bytes))
        }
    }

    /// Sets an item to a little-endian integer.
    public mutating func set<T: FixedWidthInteger>(_ key: UInt16, _ value: T) {
        var writer = ByteWriter()
        writer.little(value)
        set(key, writer.bytes)
    }

    /// Adds a file.
    ///
    /// - Parameters:
    ///   - name: as firmware knows it, at most 55 bytes; new.
    ///   - isWritable: firmware may write over the bytes, not beyond.
    public mutating func add(_ name: String, _ bytes: [UInt8], isWritable: Bool = false) {
        precondition(name.utf8.count < Self.nameCountMax && names[name] == nil, "a file has a short name of its own")
        let key = Key.firstFile + UInt16(files.count)
        indices[key] = items.count
        names[name] = items.count
        files.append((name, items.count))
        items.append(Item(key: key, bytes: bytes, isWritable: isWritable))
        set(Key.directory, directory)
    }

    /// Adds a file that is one little-endian integer.
    public mutating func add<T: FixedWidthInteger>(_ name: String, _ value: T) {
        var writer = ByteWriter()
        writer.little(value)
        add(name, writer.bytes)
    }

    /// A count, then for each file its length, key, two bytes of nothing and its name; integers big-endian.
    private var directory: [UInt8] {
        var writer = ByteWriter()
        writer.big(UInt32(files.count))
        for (name, index) in files {
            writer.big(UInt32(items[index].bytes.count))
            writer.big(items[index].key)
            writer.zeros(2)
            writer.text(name, width: Self.nameCountMax)
        }
        return writer.bytes
    }

    func key(of index: Int) -> UInt16 { items[index].key }
    func index(of key: UInt16) -> Int? { indices[key] }
    func index(of name: String) -> Int? { names[name] }
    func bytes(_ index: Int) -> [UInt8] { items[index].bytes }
    func isWritable(_ index: Int) -> Bool { items[index].isWritable }
}
