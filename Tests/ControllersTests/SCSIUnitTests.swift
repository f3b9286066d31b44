import Controllers
import DeviceModel
import Testing

@Suite("SCSI commands")
struct SCSIUnitTests {
    private static func geometry(_ capacity: UInt64, readOnly: Bool = false) -> BlockGeometry {
        var geometry = BlockGeometry(capacity: capacity, identity: "d")
        geometry.isReadOnly = readOnly
        geometry.canDiscard = !readOnly
        return geometry
    }

    private var disk = SCSIUnit(.disk, .disk(serial: "6000C29-1"), medium: geometry(4 << 40))

    private func decode(_ unit: inout SCSIUnit, _ bytes: [UInt8]) -> SCSIAction { unit.decode(SCSICommand(bytes)) }

    private func data(_ unit: inout SCSIUnit, _ bytes: [UInt8]) -> [UInt8] {
        if case .data(let data) = decode(&unit, bytes) { return data }
        return []
    }

    @Test("reads and writes of every length say where and how much")
    func transfers() {
        var unit = disk
        let range = SCSIRange(block: 0x12_3456, count: 0x78)
        #expect(decode(&unit, [0x08, 0x12, 0x34, 0x56, 0x78, 0]) == .read(range))
        #expect(decode(&unit, [0x08, 0, 0, 1, 0, 0]) == .read(SCSIRange(block: 1, count: 256)))
        #expect(decode(&unit, [0x28, 0, 0, 0x12, 0x34, 0x56, 0, 0, 0x78, 0]) == .read(range))
        #expect(decode(&unit, [0xa8, 0, 0, 0x12, 0x34, 0x56, 0, 0, 0, 0x78, 0, 0]) == .read(range))
        #expect(
            decode(&unit, [0x88, 0, 0, 0, 0, 0, 0, 0x12, 0x34, 0x56, 0, 0, 0, 0x78, 0, 0]) == .read(range))
        #expect(decode(&unit, [0x0a, 0x12, 0x34, 0x56, 0x78, 0]) == .write(range, durable: false))
        #expect(decode(&unit, [0x2a, 8, 0, 0x12, 0x34, 0x56, 0, 0, 0x78, 0]) == .write(range, durable: true))
        #expect(decode(&unit, [0xaa, 0, 0, 0x12, 0x34, 0x56, 0, 0, 0, 0x78, 0, 0]) == .write(range, durable: false))
        #expect(
            decode(&unit, [0x8a, 8, 0, 0, 0, 0, 0, 0x12, 0x34, 0x56, 0, 0, 0, 0x78, 0, 0])
                == .write(range, durable: true))
        #expect(decode(&unit, [0x28, 0, 0, 0, 0, 0, 0, 0, 0, 0]) == .good)
        #expect(decode(&unit, [0x2f, 0, 0, 0, 0, 0, 0, 0, 8, 0]) == .good)
        #expect(decode(&unit, [0x2f, 2, 0, 0, 0, 0, 0, 0, 8, 0]) == .failed(.invalidField))
        #expect(decode(&unit, [0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0]) == .flush)
        #expect(decode(&unit, [0x91]) == .flush)
    }

    @Test("ranges outside the disk fail, however large their numbers")
    func ranges() {
        var unit = SCSIUnit(.disk, .disk(serial: ""), medium: Self.geometry(1 << 20))
        #expect(decode(&unit, [0x28, 0, 0, 0, 7, 255, 0, 0, 1, 0]) == .read(SCSIRange(block: 2047, count: 1)))
        #expect(decode(&unit, [0x28, 0, 0, 0, 7, 255, 0, 0, 2, 0]) == .failed(.outOfRange))
        #expect(decode(&unit, [0x88, 0] + [UInt8](repeating: 255, count: 12) + [0, 0]) == .failed(.outOfRange))
        #expect(unit.sense == .outOfRange)
        #expect(data(&unit, [0x03, 0, 0, 0, 18, 0]).prefix(14) == [0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x21, 0])
    }

    @Test("inquiry and its pages are those of VMware's disk, cut to what the initiator takes")
    func inquiry() {
        var unit = disk
        let standard = data(&unit, [0x12, 0, 0, 0, 96, 0])
        #expect(standard.count == 36)
        #expect(String(decoding: standard[8...], as: UTF8.self) == "VMware  Virtual disk    2.0 ")
        #expect(data(&unit, [0x12, 0, 0, 0, 5, 0]) == [0, 0, 6, 2, 31])
        #expect(data(&unit, [0x12, 1, 0, 0, 255, 0]) == [0, 0, 0, 6, 0, 0x80, 0x83, 0xb0, 0xb1, 0xb2])
        #expect(data(&unit, [0x12, 1, 0x80, 0, 255, 0]) == [0, 0x80, 0, 9] + Array("6000C29-1".utf8))
        #expect(data(&unit, [0x12, 1, 0x83, 0, 255, 0]).dropFirst(8) == ArraySlice("VMware  6000C29-1".utf8))
        #expect(data(&unit, [0x12, 1, 0xb0, 0, 255, 0]).count == 64)
        #expect(data(&unit, [0x12, 1, 0xb1, 0, 255, 0])[4...5] == [0, 1])
        #expect(data(&unit, [0x12, 1, 0xb2, 0, 255, 0])[5] == 0xe0)
        #expect(decode(&unit, [0x12, 1, 0xc0, 0, 255, 0]) == .failed(.invalidField))
        #expect(decode(&unit, [0x12, 0, 1, 0, 255, 0]) == .failed(.invalidField))
    }

    @Test("a capacity that does not fit in ten bytes says so, and is in sixteen")
    func capacity() {
        var unit = disk
        #expect(data(&unit, [0x25]) == [255, 255, 255, 255, 0, 0, 2, 0])
        let long = data(&unit, [0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32])
        #expect(long.count == 32)
        #expect(long.prefix(16) == [0, 0, 0, 1, 255, 255, 255, 255, 0, 0, 2, 0, 0, 3, 0x80, 0])
    }

    @Test("unmapping and writing zeros check all ranges before they do anything")
    func unmap() {
        var unit = SCSIUnit(.disk, .disk(serial: ""), medium: Self.geometry(1 << 20))
        #expect(decode(&unit, [0x42, 0, 0, 0, 0, 0, 0, 0, 40, 0]) == .fetch(40, .unmap))
        var list = [UInt8](repeating: 0, count: 40)
        list[1] = 38
        list[3] = 32
        list[15] = 8
        list[19] = 4
        list[30] = 7
        list[31] = 255
        list[35] = 1
        #expect(
            unit.accept(.unmap, list)
                == .discard([SCSIRange(block: 8, count: 4), SCSIRange(block: 2047, count: 1)]))
        list[35] = 2
        #expect(unit.accept(.unmap, list) == .failed(.outOfRange))
        #expect(unit.accept(.unmap, [0, 0]) == .failed(.parameterListLength))
        let range = SCSIRange(block: 4, count: 8)
        #expect(
            decode(&unit, [0x93, 8, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 8, 0, 0])
                == .fetch(512, .sameBlock(range, mayUnmap: true)))
        #expect(
            unit.accept(.sameBlock(range, mayUnmap: true), [UInt8](repeating: 0, count: 512))
                == .zero(range, mayUnmap: true))
        #expect(unit.accept(.sameBlock(range, mayUnmap: true), [1]) == .failed(.invalidParameter))
        #expect(
            decode(&unit, [0x93, 1, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 8, 0, 0]) == .zero(range, mayUnmap: false))
        #expect(decode(&unit, [0x41, 0, 0, 0, 0, 4, 0, 0, 0, 0]) == .failed(.invalidField))
    }

    @Test("the write cache is switched by mode select, and then every write is durable")
    func modes() {
        var unit = disk
        let page = data(&unit, [0x1a, 8, 8, 0, 255, 0])
        #expect(page.prefix(7) == [23, 0, 0x10, 0, 8, 18, 4])
        #expect(data(&unit, [0x1a, 8, 0x48, 0, 255, 0])[6] == 4)
        #expect(decode(&unit, [0x1a, 8, 0xc8, 0, 255, 0]) == .failed(.savingNotSupported))
        #expect(decode(&unit, [0x15, 0x10, 0, 0, 24, 0]) == .fetch(24, .modes(isLong: false)))
        var list = page
        list[0] = 0
        list[6] = 0
        #expect(unit.accept(.modes(isLong: false), list) == .good)
        #expect(
            decode(&unit, [0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0])
                == .write(SCSIRange(block: 0, count: 1), durable: true))
        #expect(unit.accept(.modes(isLong: false), Array(list.prefix(10))) == .failed(.parameterListLength))
        #expect(unit.accept(.modes(isLong: true), [0, 0, 0, 0, 0, 0, 255, 255]) == .good)
        let all = data(&unit, [0x5a, 0, 0x3f, 0, 0, 0, 0, 1, 0, 0])
        #expect(all.count == Int(all[0]) << 8 + Int(all[1]) + 2)
    }

    @Test("a read-only disk refuses every change")
    func readOnly() {
        var unit = SCSIUnit(.disk, .disk(serial: ""), medium: Self.geometry(1 << 20, readOnly: true))
        #expect(decode(&unit, [0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0]) == .failed(.writeProtected))
        #expect(decode(&unit, [0x41, 0, 0, 0, 0, 0, 0, 0, 1, 0]) == .failed(.writeProtected))
        #expect(decode(&unit, [0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0]) == .failed(.writeProtected))
        #expect(data(&unit, [0x1a, 8, 8, 0, 255, 0])[2] == 0x90)
    }

    @Test("an attention is told once, and not to those commands that must always work")
    func attentions() {
        var unit = disk
        unit.reset(tells: true)
        unit.resize(Self.geometry(1 << 20))
        #expect(data(&unit, [0x12, 0, 0, 0, 36, 0]).count == 36)
        #expect(
            data(&unit, [0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0]) == [0, 0, 0, 8] + [UInt8](repeating: 0, count: 12))
        #expect(decode(&unit, [0]) == .failed(.reset))
        #expect(decode(&unit, [0]) == .failed(.capacityChanged))
        #expect(decode(&unit, [0]) == .good)
    }
}
