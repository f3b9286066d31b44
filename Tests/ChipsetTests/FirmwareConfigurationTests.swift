import Chipset
import GuestMemory
import Testing

@Suite("fw_cfg")
struct FirmwareConfigurationTests {
    let memory: GuestMemory
    let device: FirmwareConfiguration

    init() throws {
        memory = try GuestMemory(count: 1 << 20)
        var items = FirmwareItems()
        items.set(FirmwareItems.Key.memory, UInt64(0x1122_3344_5566_7788))
        items.add("etc/first", Array("hello".utf8))
        items.add("etc/writable", [1, 2, 3, 4], isWritable: true)
        device = FirmwareConfiguration(items, ram: memory.ram)
    }

    func select(_ key: UInt16) { device.write(region: 0, offset: 0, width: 2, value: UInt64(key)) }

    func read(_ count: Int) -> [UInt8] {
        (0..<count).map { _ in UInt8(truncatingIfNeeded: device.read(region: 0, offset: 1, width: 1)) }
    }

    /// A DMA request as firmware makes it: descriptor at 0x100, everything big-endian, the low half of its address starts it.
    func transfer(_ control: UInt32, _ count: UInt32, _ address: UInt64, at descriptor: UInt64 = 0x100) -> UInt32? {
        memory.ram.store(control.byteSwapped, at: descriptor)
        memory.ram.store(count.byteSwapped, at: descriptor + 4)
        memory.ram.store(address.byteSwapped, at: descriptor + 8)
        device.write(region: 0, offset: 4, width: 4, value: UInt64(UInt32(descriptor >> 32).byteSwapped))
        device.write(region: 0, offset: 8, width: 4, value: UInt64(UInt32(truncatingIfNeeded: descriptor).byteSwapped))
        return memory.ram.load(UInt32.self, at: descriptor)?.byteSwapped
    }

    @Test("an item is read byte by byte, with zeros behind its end; selecting begins anew")
    func ports() {
        select(FirmwareItems.Key.signature)
        #expect(read(6) == Array("QEMU".utf8) + [0, 0])
        select(FirmwareItems.Key.memory)
        #expect(read(8) == [0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11])
        select(FirmwareItems.Key.features)
        #expect(read(4) == [3, 0, 0, 0])
        select(0x3fff)
        #expect(read(2) == [0, 0], "an item that does not exist")
    }

    @Test("the DMA register says that it is there, whatever width it is read by")
    func signature() {
        let bytes = (4..<12).map { UInt8(truncatingIfNeeded: device.read(region: 0, offset: $0, width: 1)) }
        #expect(bytes == Array("QEMU CFG".utf8))
        #expect(device.read(region: 0, offset: 4, width: 4) == 0x554d_4551)
        #expect(device.read(region: 0, offset: 8, width: 8) == .max, "beyond its end")
    }

    @Test("the directory names files with length and key, and firmware reads them by DMA")
    func directory() throws {
        #expect(transfer(UInt32(FirmwareItems.Key.directory) << 16 | 0xa, 132, 0x1000) == 0)
        let bytes = try memory.ram.read(132, at: 0x1000)
        #expect(Array(bytes[..<4]) == [0, 0, 0, 2])
        #expect(Array(bytes[4..<12]) == [0, 0, 0, 5, 0, 0x20, 0, 0])
        #expect(Array(bytes[12..<22]) == Array("etc/first".utf8) + [0])
        #expect(transfer(0x20 << 16 | 0xa, 8, 0x2000) == 0)
        #expect(try memory.ram.read(8, at: 0x2000) == Array("hello".utf8) + [0, 0, 0])
    }

    @Test("ports and DMA share one offset, and skipping moves it")
    func sharedOffset() throws {
        select(0x20)
        #expect(read(1) == Array("h".utf8))
        #expect(transfer(4, 1, 0) == 0)
        #expect(transfer(2, 2, 0x3000) == 0)
        #expect(try memory.ram.read(2, at: 0x3000) == Array("ll".utf8))
        #expect(read(1) == Array("o".utf8))
    }

    @Test("only a writable file is written, inside its length")
    func writing() throws {
        try memory.ram.write([9, 8], at: 0x4000)
        #expect(transfer(0x21 << 16 | 0x18, 2, 0x4000) == 0)
        #expect(device.written("etc/writable") == [9, 8, 3, 4])
        #expect(transfer(0x21 << 16 | 0x18, 5, 0x4000) == 1)
        #expect(transfer(0x20 << 16 | 0x18, 2, 0x4000) == 1)
        #expect(device.written("etc/first") == nil)
        device.reset()
        #expect(device.written("etc/writable") == nil)
    }

    @Test("a request to or from what is no memory ends in an error, or nowhere")
    func outside() {
        #expect(transfer(0x20 << 16 | 0xa, 5, 0xffff_ffff_ffff_fff0) == 1)
        #expect(transfer(0x20 << 16 | 0xa, .max, 0) == 1)
        #expect(transfer(0x21 << 16 | 0x18, 2, 1 << 40) == 1)
        device.write(region: 0, offset: 4, width: 4, value: .max)
        device.write(region: 0, offset: 8, width: 4, value: .max)
    }
}
