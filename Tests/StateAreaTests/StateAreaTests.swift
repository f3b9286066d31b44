import Signatures
import SimulatedDisk
import Testing

@testable import StateArea

@Suite("The state area")
struct StateAreaTests {
    private func disk() -> SimulatedDisk { SimulatedDisk(size: Int(StateArea.sizeMin)) }
    private func payload(_ value: UInt8, _ count: Int = 3000) -> [UInt8] { .init(repeating: value, count: count) }

    @Test("an area that nothing was saved in is empty, without a finding")
    func empty() throws {
        let area = try StateArea(disk())
        #expect(area.current == nil)
        #expect(area.findings.isEmpty)
    }

    @Test("what was saved last is loaded, whichever copy it lies in")
    func saving() throws {
        let disk = disk()
        for value in UInt8(1)...5 {
            #expect(try StateArea(disk).save(payload(value)) == UInt64(value))
            let area = try StateArea(disk)
            #expect(area.current == .init(sequence: UInt64(value), payload: payload(value)))
            #expect(area.findings.isEmpty)
        }
    }

    @Test("an empty payload and the longest one are saved; a longer one is refused and nothing written")
    func lengths() throws {
        let disk = disk()
        let area = try StateArea(disk)
        try area.save([])
        #expect(try StateArea(disk).current?.payload == [])
        try area.save(payload(9, StateArea.payloadMax))
        #expect(try StateArea(disk).current?.payload == payload(9, StateArea.payloadMax))
        let before = disk.writeCount
        #expect(throws: StateAreaError.tooLong(bytes: StateArea.payloadMax + 1)) {
            try area.save(payload(9, StateArea.payloadMax + 1))
        }
        #expect(disk.writeCount == before)
    }

    @Test("saving what is saved already writes nothing")
    func unchanged() throws {
        let disk = disk()
        let area = try StateArea(disk)
        try area.save(payload(1))
        let before = disk.writeCount
        #expect(try area.save(payload(1)) == 1)
        #expect(try StateArea(disk).save(payload(1)) == 1)
        #expect(disk.writeCount == before)
    }

    @Test("a power cut at any write leaves the old or the new payload whole, also the very first time")
    func powerCuts() throws {
        for start in 0..<3 {
            let disk = disk()
            let area = try StateArea(disk)
            for value in 0..<start { try area.save(payload(UInt8(value + 1))) }
            let before = disk.copy()
            let old = try StateArea(before).current?.payload
            try StateArea(before).save(payload(77, 5000))
            var found: Set<[UInt8]?> = []
            try before.forEachPowerCut(choices: 4, tearing: true) { disk, cut in
                let area = try StateArea(disk)
                let now = area.current?.payload
                #expect(now == old || now == payload(77, 5000), "\(cut)")
                found.insert(now)
                // It works on: what is saved next is loaded.
                try area.save(payload(78))
                #expect(try StateArea(disk).current?.payload == payload(78), "\(cut)")
            }
            #expect(found == [old, payload(77, 5000)])
        }
    }

    @Test("once a save has returned, no power cut takes it back")
    func acknowledged() throws {
        let disk = disk()
        let area = try StateArea(disk)
        try area.save(payload(1))
        try area.save(payload(2))
        let acknowledged = disk.eventCount
        try area.save(payload(3))
        try disk.forEachPowerCut { disk, cut in
            guard cut.events >= acknowledged else { return }
            let found = try StateArea(disk).current?.payload
            #expect(found == payload(2) || found == payload(3), "\(cut)")
        }
    }

    @Test("a damaged newer copy gives way to the older one, with a message; its number is not used again")
    func damage() throws {
        let disk = disk()
        let area = try StateArea(disk)
        try area.save(payload(1))
        try area.save(payload(2))
        // Number 2 lies in the second copy; one bit of its payload.
        let place = UInt64(StateArea.slotSize + StateArea.payloadOffset + 100)
        try disk.write([3], at: place)
        let recovered = try StateArea(disk)
        #expect(recovered.current?.payload == payload(1))
        #expect(recovered.findings == [.damaged(sequence: 2, isRecovered: true)])
        #expect(
            recovered.findings[0].description == "the saved settings number 2 are damaged; the other copy is in use")
        #expect(try recovered.save(payload(3)) == 3)
        #expect(try StateArea(disk).current?.payload == payload(3))
        #expect(try StateArea(disk).findings.isEmpty)
    }

    @Test("every damaged byte of a header is found")
    func headerDamage() throws {
        let disk = disk()
        try StateArea(disk).save(payload(1))
        for byte in 0..<StateSlotHeader.size {
            let damaged = disk.copy()
            let old = try damaged.read(1, at: UInt64(byte))
            try damaged.write([old[0] ^ 0x40], at: UInt64(byte))
            let area = try StateArea(damaged)
            #expect(area.current == nil)
            #expect(area.findings.count == 1)
        }
    }

    @Test("copies that are foreign, of a later version or unreadable are named, and the good one is used")
    func findings() throws {
        let disk = disk()
        let area = try StateArea(disk)
        try area.save(payload(1))
        let second = UInt64(StateArea.slotSize)

        try disk.write(Array("something else altogether".utf8), at: second)
        #expect(try StateArea(disk).findings == [.foreign])

        var header = StateSlotHeader(sequence: 9, payload: []).bytes
        header[8] = 2
        header.replaceSubrange(64..., with: digest(header[..<64]))
        try disk.write(header, at: second)
        #expect(try StateArea(disk).findings == [.unsupported(2, isRecovered: true)])

        disk.unreadable = [Int(second) / 512]
        let unreadable = try StateArea(disk)
        #expect(unreadable.current?.payload == payload(1))
        #expect(unreadable.findings.count == 1)
        disk.unreadable = [0, Int(second) / 512]
        #expect(try StateArea(disk).current == nil)
        #expect(try StateArea(disk).findings.count == 2)
    }

    @Test("a header with impossible numbers is damage, even with a right checksum")
    func hostileHeaders() throws {
        for (sequence, length) in [(UInt64(0), UInt64(0)), (.max, 0), (1, .max), (1, UInt64(StateArea.slotSize))] {
            var header = StateSlotHeader(sequence: 1, payload: []).bytes
            for index in 0..<8 {
                header[16 + index] = UInt8(truncatingIfNeeded: sequence >> (8 * index))
                header[24 + index] = UInt8(truncatingIfNeeded: length >> (8 * index))
            }
            header.replaceSubrange(64..., with: digest(header[..<64]))
            #expect(StateSlotHeader.read(header) == .damaged)
        }
    }

    @Test("a save that fails keeps what was there, and the next one works")
    func failures() throws {
        let disk = disk()
        let area = try StateArea(disk)
        try area.save(payload(1))
        for left in 0..<9 {  // six sectors, a flush, the header, a flush
            disk.operationsLeft = left
            #expect(throws: StateAreaError.self) { try area.save(payload(UInt8(left + 2))) }
            #expect(area.current == .init(sequence: 1, payload: payload(1)))
            disk.operationsLeft = nil
            let loaded = try StateArea(disk.copy()).current?.payload
            #expect(loaded == payload(1) || loaded == payload(UInt8(left + 2)))
        }
        let number = try area.save(payload(99))
        #expect(try StateArea(disk).current == .init(sequence: number, payload: payload(99)))
    }

    @Test("a partition that is too small is refused with its name")
    func tooSmall() {
        #expect(throws: StateAreaError.tooSmall("the simulated disk", bytes: 1 << 20)) {
            try StateArea(SimulatedDisk(size: 1 << 20))
        }
    }

    private func digest(_ bytes: ArraySlice<UInt8>) -> [UInt8] { SHA256.digest(of: Array(bytes)) }
}
