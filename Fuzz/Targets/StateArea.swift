import SimulatedDisk
import StateArea

/// A state area from a broken disk: one half of the input at each copy's beginning. Saving works whatever was there.
func fuzzStateArea(_ bytes: [UInt8]) {
    // Twelve mebibytes of zeros are slow to make: one for all inputs.
    let disk = emptyDisk.copy()
    let half = bytes.count / 2
    guard (try? disk.write(Array(bytes[..<half]), at: 0)) != nil,
        (try? disk.write(Array(bytes[half...]), at: UInt64(StateArea.slotSize))) != nil,
        let area = try? StateArea(disk)
    else { return check(half > StateArea.slotSize, "an area of the right size is loaded") }
    let before = area.current?.sequence ?? 0
    guard let sequence = try? area.save([1, 2, 3]) else { return }
    check(sequence >= before, "numbers grow")
    check((try? StateArea(disk))?.current?.payload == [1, 2, 3], "what was saved is loaded")
}

// Only copied, and a disk whose content does not change can be copied from any thread.
private nonisolated(unsafe) let emptyDisk = SimulatedDisk(size: Int(StateArea.sizeMin))
