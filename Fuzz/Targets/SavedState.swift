import BlockTestSupport
import CLinux
import Chipset
import DeviceModel
import GuestMemory
import Linux
import NetEngine
import SavedState
import Virtio

/// A stream in memory.
private final class FuzzStream: StateSource {
    private let bytes: [UInt8]
    private var offset = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    func read(_ pieces: UnsafeMutableBufferPointer<IOVector>) -> Int {
        var total = 0
        for piece in pieces {
            let count = min(piece.count, bytes.count - offset)
            UnsafeMutableRawBufferPointer(start: piece.base, count: count).copyBytes(
                from: bytes[offset..<offset + count])
            offset += count
            total += count
            if count < piece.count { break }
        }
        return total
    }
}

/// A stream whose pages come from the input and whose checksums are right, or the input itself.
///
/// After the first byte: pages, each as pairs of offset (u16) and byte, ended by an offset beyond the page. A page with a record's head at
/// its start gets the stream's number and the next record's.
func fuzzSavedState(_ bytes: [UInt8]) {
    var feed = Feed(bytes)
    var stream: [UInt8] = []
    if feed.byte() & 1 == 0 {
        stream = Array(bytes.dropFirst())
    } else {
        stream = page(Array("WAFERVMS".utf8) + [1], checksumAt: 12)
        var number: UInt8 = 0
        while !feed.isAtEnd, stream.count < 64 << 10 {
            var record = [UInt8](repeating: 0, count: 4096)
            record[16] = number
            while case let place = Int(feed.word()), place < 4096, !feed.isAtEnd { record[place] = feed.byte() }
            // More pages of the record: their checksum is part of the first's.
            let more = Int(feed.byte() & 3)
            let whole = record + [UInt8](repeating: 7, count: more * 4096)
            stream += page(whole, checksumAt: 4)
            number &+= 1
        }
    }
    guard let memory = try? Mapping(anonymous: 16 * 4096, "memory") else { return }
    var pages = StateMemory()
    pages.add(0, memory.base, count: 8 * 4096)
    pages.add(1 << 32, memory.base + 8 * 4096, count: 8 * 4096)
    guard let reader = try? StateReader(FuzzStream(stream)) else { return }
    var records = 0
    while let record = try? reader.next(into: pages) {
        records += 1
        check(records <= stream.count / 4096, "a record has a page")
        if case .sections(let sections) = record {
            check(Set(sections.map(\.name)).count == sections.count, "names are unique")
        }
        if record == .end { break }
    }
}

private func page(_ bytes: [UInt8], checksumAt place: Int) -> [UInt8] {
    var bytes = bytes + [UInt8](repeating: 0, count: (4096 - bytes.count % 4096) % 4096)
    for index in 0..<4 { bytes[place + index] = 0 }
    let checksum = bytes.withUnsafeBytes { wafer_crc32c(0, $0.baseAddress, $0.count) }
    for index in 0..<4 { bytes[place + index] = UInt8(truncatingIfNeeded: checksum >> (8 * index)) }
    return bytes
}

private final class Wire: InterruptLine {
    func set(_ level: Bool) {}
}

private final class Nobody: CharacterBackend {
    func transmit(_ bytes: Span<UInt8>) {}
    func setReceiver(_ receiver: (any CharacterReceiver)?) {}
    func receiverHasRoom() {}
}

private final class Flash: FlashHousing {
    let mapping: Mapping
    init() throws { mapping = try Mapping(anonymous: FlashMemory.blockSize, "flash") }
    var base: UnsafeMutableRawPointer { mapping.base }
    var count: Int { mapping.count }
    func setReadable(_ isReadable: Bool) {}
    func save(_ range: Range<Int>) { check(range.lowerBound >= 0 && range.upperBound <= count, "it lies in the flash") }
}

/// Gives a device of the chipset a state from nowhere, and then uses it.
func fuzzSavedChipset(_ bytes: [UInt8]) {
    guard let memory = try? GuestMemory(count: 64 << 10), let loop = try? EventLoop(name: "fuzz"),
        let flash = try? Flash()
    else { return }
    var items = FirmwareItems()
    items.add("etc/writable", [0, 0, 0, 0], isWritable: true)
    let devices: [BusDevice] = [
        RealTimeClock(interrupt: Wire(), loop: loop), PowerManagement(sci: Wire()) {},
        Uart16550(interrupt: Wire(), backend: Nobody()),
        PCIHotplugRegisters(slots: 1...4, raiseEvent: {}, eject: { _ in }), ResetPorts {},
        FirmwareConfiguration(items, ram: memory.ram), FlashMemory(flash), HostBridge(isSetUp: true) { _ in },
    ]
    var feed = Feed(bytes)
    let device = devices[Int(feed.byte()) % devices.count]
    let parts = device.stateParts.map(\.part)
    let part = parts[Int(feed.byte()) % parts.count]
    guard var section = try? StateSection("fuzz", of: part) else { return check(false, "it can be saved") }
    // What it has itself, with changes, so that inputs get in.
    for _ in 0..<Int(feed.byte() & 31) {
        let (place, value) = (Int(feed.word()), feed.byte())
        if place < section.bytes.count { section.bytes[place] = value } else { section.bytes.append(value) }
    }
    let isRestored = (try? section.restore(to: part, elapsed: UInt64(feed.long()))) != nil
    while !feed.isAtEnd {
        let (command, offset, width) = (feed.byte(), UInt64(feed.byte()), feed.width())
        if command & 1 == 0 {
            _ = device.read(region: Int(command >> 6), offset: offset, width: width)
        } else {
            device.write(region: Int(command >> 6), offset: offset, width: width, value: feed.wide())
        }
    }
    let again = try? StateSection("fuzz", of: part)
    check(again != nil, "it can be saved whatever it was restored to")
    if isRestored, let again { check((try? again.restore(to: part)) != nil, "what it saves it takes back") }
}

/// Saves a virtio device, changes bytes of its state, restores another one to it, and lets the guest go on.
func fuzzSavedVirtio(_ bytes: [UInt8]) {
    var feed = Feed(bytes)
    let kind = feed.byte()
    do {
        let memory = try VirtioMachine.memory()
        var first = try VirtioMachine(memory, try savedDevice(kind, memory))
        first.start(&feed)
        first.function.pause()
        var sections = try first.function.stateParts.map { try StateSection("x" + $0.suffix, of: $0.part) }
        first.function.close()
        for _ in 0..<Int(feed.byte() & 15) {
            let (index, place, value) = (Int(feed.byte()) % sections.count, Int(feed.word()), feed.byte())
            if !sections[index].bytes.isEmpty { sections[index].bytes[place % sections[index].bytes.count] = value }
        }
        var second = try VirtioMachine(memory, try savedDevice(kind, memory))
        second.function.pause()
        for (section, (_, part)) in zip(sections, second.function.stateParts) {
            do throws(StateError) { try section.restore(to: part) } catch { return second.function.close() }
        }
        second.root.remapAll()
        let again = try second.function.stateParts.map { try StateSection("x" + $0.suffix, of: $0.part) }
        check(again.count == sections.count, "it can be saved at once")
        second.function.resume()
        second.goOn(&feed)
    } catch { check(false, "a device can be made and saved") }
}

private func savedDevice(_ kind: UInt8, _ memory: GuestMemory) throws -> VirtioDevice {
    switch kind & 3 {
    case 0:
        try VirtioBlock(
            MemoryBlockBackend(capacity: 16 << 10), ram: memory.ram, loops: [nil], queueCount: 2, queueSize: 16)
    case 1:
        try VirtioNet(
            .init(address: MACAddress(rawValue: 0x0050_5600_0001)), backend: SilentNetwork(), memory: memory, loops: [])
    case 2: try VirtioConsole(ram: memory.ram, loop: nil, backend: Nobody())
    default: try VirtioBalloon(memory, loop: nil)
    }
}

/// Takes everything and gives nothing.
private final class SilentNetwork: NetBackend, NetQueue {
    var queueCount: Int { 1 }
    var offloads: NetOffloads { .all }
    var descriptor: CInt { -1 }
    func queue(_ index: Int) -> any NetQueue { self }
    func setGuestOffloads(_ offloads: NetOffloads) {}
    func setActiveQueues(_ count: Int) {}
    func setFilter(_ filter: NetFilter) {}
    func setLink(up: Bool) {}
    func receive(_ pieces: UnsafePointer<IOVector>, _ count: Int) -> TransferResult { .wouldBlock }
    func send(_ pieces: UnsafePointer<IOVector>, _ count: Int) -> TransferResult {
        var total = 0
        for index in 0..<count { total += pieces[index].count }
        return .done(total)
    }
}
