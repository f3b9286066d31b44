import Chipset
import Linux
import Synchronization
import Testing

final class ProbeHousing: FlashHousing {
    let mapping: Mapping
    let readable = Mutex(true)
    let saved = Mutex<[Range<Int>]>([])

    init(blocks: Int) throws {
        mapping = try Mapping(copying: [UInt8](repeating: 0xff, count: blocks * FlashMemory.blockSize), "flash")
    }
    var base: UnsafeMutableRawPointer { unsafe mapping.base }
    var count: Int { mapping.count }
    func setReadable(_ isReadable: Bool) { readable.withLock { $0 = isReadable } }
    func save(_ range: Range<Int>) { saved.withLock { $0.append(range) } }
    func byte(_ offset: Int) -> UInt8 { unsafe mapping.base.load(fromByteOffset: offset, as: UInt8.self) }
}

@Suite("Flash with UEFI's variables")
struct FlashMemoryTests {
    let housing: ProbeHousing
    let flash: FlashMemory

    init() throws {
        housing = try ProbeHousing(blocks: 2)
        flash = FlashMemory(housing)
    }

    func write(_ offset: UInt64, _ bytes: UInt8...) {
        for byte in bytes { flash.write(region: 0, offset: offset, width: 1, value: UInt64(byte)) }
    }
    func read(_ offset: UInt64) -> UInt64 { flash.read(region: 0, offset: offset, width: 1) }

    @Test("firmware's look whether this is flash: memory reads on, the status after clearing is zero")
    func probe() {
        write(0x10, 0x50)
        #expect(read(0x10) == 0xff)
        #expect(housing.readable.withLock { $0 })
        write(0x10, 0x70)
        #expect(!housing.readable.withLock { $0 })
        #expect(read(0x10) == 0)
        write(0x10, 0xff)
        #expect(read(0x10) == 0xff)
        #expect(housing.readable.withLock { $0 })
        #expect(housing.byte(0x10) == 0xff, "none of the commands was data")
    }

    @Test("programming only clears bits; erasing sets a whole block; what changed is saved when the guest is done")
    func programming() {
        write(0x1001, 0x10, 0x5a)
        write(0x1001, 0x10, 0xf0)
        #expect(housing.byte(0x1001) == 0x50)
        write(0x1ffe, 0x40, 0x00)
        #expect(housing.saved.withLock { $0 } == [], "not yet")
        write(0x1000, 0xff)
        #expect(housing.saved.withLock { $0 } == [0x1001..<0x1fff])
        write(0x1800, 0x20, 0xd0)
        #expect(housing.byte(0x1001) == 0xff && housing.byte(0x1ffe) == 0xff)
        write(0x1800, 0x70)
        #expect(read(0) == 0x80, "ready")
        write(0x1800, 0xff)
        #expect(housing.saved.withLock { $0 } == [0x1001..<0x1fff, 0x1000..<0x2000])
    }

    @Test("an erase that is not confirmed does nothing and leaves the error bits")
    func unconfirmed() {
        write(0, 0x10, 0)
        write(0, 0x20, 0x42)
        #expect(housing.byte(0) == 0)
        write(0, 0x70)
        #expect(read(0) == 0xb0)
    }

    @Test("accesses over the end hit nothing; a reset shows memory and saves")
    func edges() {
        flash.write(region: 0, offset: 0x1fff, width: 1, value: 0x10)
        flash.write(region: 0, offset: 0x1fff, width: 8, value: 0)
        #expect(housing.byte(0x1fff) == 0xff)
        #expect(flash.read(region: 0, offset: .max, width: 8) == .max)
        write(0, 0x10, 0)
        write(0, 0x90)
        #expect(read(0) == 0x89)
        flash.reset()
        #expect(housing.readable.withLock { $0 })
        #expect(housing.saved.withLock { $0 } == [0..<1])
    }
}
