import Controllers
import DeviceModel

func fuzzSCSIUnit(_ bytes: [UInt8]) {
    var feed = Feed(bytes)
    let choice = feed.byte()
    var geometry = BlockGeometry(capacity: UInt64(feed.word()) << 12, identity: "fuzz")
    geometry.canDiscard = choice & 2 != 0
    geometry.isReadOnly = choice & 4 != 0
    if choice & 8 != 0 { geometry.logicalBlock = 4096 }
    var unit = SCSIUnit(
        choice & 1 == 0 ? .disk : .cd, choice & 1 == 0 ? .disk(serial: "fuzz") : .cd(serial: ""),
        medium: choice & 16 == 0 ? geometry : nil)

    func inside(_ range: SCSIRange) {
        let (end, overflow) = range.block.addingReportingOverflow(range.count)
        check(!overflow && end <= unit.blockCount, "a range lies on the medium")
        check(range.count > 0, "a range is not empty")
    }
    func perform(_ action: SCSIAction, _ depth: Int = 0) {
        switch action {
        case .good, .flush, .eject, .load, .data: break
        case .read(let range): inside(range)
        case .write(let range, _):
            inside(range)
            check(!geometry.isReadOnly, "a read-only medium is not written to")
        case .zero(let range, let mayUnmap):
            inside(range)
            check(!geometry.isReadOnly && (!mayUnmap || geometry.canDiscard), "zeros go where they may")
        case .discard(let ranges):
            for range in ranges { inside(range) }
            check(geometry.canDiscard && !geometry.isReadOnly, "only what can be discarded is")
        case .fetch(let count, let list):
            check(count > 0 && count <= 4096, "parameters are short")
            check(depth == 0, "parameters are fetched once")
            perform(unit.accept(list, (0..<count).map { _ in feed.byte() }), depth + 1)
        case .failed(let sense):
            check(sense == unit.sense, "a failure leaves its sense")
            check(sense.bytes.count == 18, "sense has its length")
        }
    }
    while !feed.isAtEnd {
        switch feed.byte() {
        case 0xff: unit.changeMedium(feed.byte() & 1 == 0 ? nil : geometry)
        case 0xfe: unit.reset(tells: feed.byte() & 1 != 0)
        case 0xfd: unit.requestEject()
        case 0xfc: unit.resize(geometry)
        case let opcode:
            var command = [opcode]
            for _ in 0..<15 { command.append(feed.byte()) }
            perform(unit.decode(SCSICommand(command)))
        }
    }
}
