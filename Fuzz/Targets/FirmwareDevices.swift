import Chipset
import DeviceModel
import GuestMemory
import Linux

/// Flash without a machine around it.
private final class Housing: FlashHousing {
    let mapping: Mapping
    init() throws { mapping = try Mapping(anonymous: 2 * FlashMemory.blockSize, "flash") }
    var base: UnsafeMutableRawPointer { mapping.base }
    var count: Int { mapping.count }
    func setReadable(_ isReadable: Bool) {}
    func save(_ range: Range<Int>) {
        check(range.lowerBound >= 0 && range.upperBound <= count, "what is saved lies in the flash")
    }
}

/// fw_cfg and flash, driven by commands: which access, its parameters; and the guest's memory.
func fuzzFirmwareDevices(_ bytes: [UInt8]) {
    guard let memory = try? GuestMemory(count: 64 << 10), let housing = try? Housing() else { return }
    var items = FirmwareItems()
    items.add("etc/file", Array("contents".utf8))
    items.add("etc/writable", [UInt8](repeating: 0, count: 28), isWritable: true)
    let device = FirmwareConfiguration(items, ram: memory.ram)
    let flash = FlashMemory(housing)
    var feed = Feed(bytes)
    while !feed.isAtEnd {
        let command = feed.byte()
        let width = feed.width()
        switch command & 7 {
        case 0: device.write(region: 0, offset: UInt64(feed.byte() & 15), width: width, value: feed.wide())
        case 1: _ = device.read(region: 0, offset: UInt64(feed.byte() & 15), width: width)
        case 2: memory.ram.store(feed.wide(), at: UInt64(feed.word()))
        case 3:
            // A whole request, so that inputs get in.
            let place = UInt64(feed.word())
            memory.ram.store(UInt32(feed.byte() & 0x3f) << 16 | UInt32(feed.byte() & 0x1f), at: place)
            memory.ram.store((memory.ram.load(UInt32.self, at: place) ?? 0).byteSwapped, at: place)
            memory.ram.store(UInt32(feed.word()).byteSwapped, at: place &+ 4)
            memory.ram.store(UInt64(feed.word()).byteSwapped, at: place &+ 8)
            device.write(region: 0, offset: 8, width: 4, value: UInt64(UInt32(truncatingIfNeeded: place).byteSwapped))
        case 4: flash.write(region: 0, offset: UInt64(feed.word()), width: width, value: UInt64(feed.byte()))
        case 5: _ = flash.read(region: 0, offset: UInt64(feed.word()), width: width)
        case 6: flash.reset()
        default: device.reset()
        }
    }
    check((device.written("etc/writable")?.count ?? 28) == 28, "a file keeps its length")
}
