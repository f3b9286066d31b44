import BlockEngine
import BlockTestSupport
import Bytes
import CLinux
import DeviceModel
import Linux
import TestFiles
import Testing

/// A loop device over a file; root only.
private final class LoopDevice {
    private enum Request {
        static let getFree: UInt = 0x4c82  // LOOP_CTL_GET_FREE
        static let setDescriptor: UInt = 0x4c00  // LOOP_SET_FD
        static let clearDescriptor: UInt = 0x4c01  // LOOP_CLR_FD
        static let setBlockSize: UInt = 0x4c09  // LOOP_SET_BLOCK_SIZE
    }

    let path: String
    private let device: Descriptor

    init(_ file: String, blockSize: UInt) throws {
        let control = try Descriptor(opening: "/dev/loop-control", .readWrite)
        let backing = try Descriptor(opening: file, .readWrite)
        while true {
            let candidate = "/dev/loop\(try control.control(Request.getFree, 0, "find a loop device"))"
            let device = try Descriptor(opening: candidate, .readWrite)
            do {
                try device.control(Request.setDescriptor, UInt(backing.raw), "set up loop device")
                try device.control(Request.setBlockSize, blockSize, "set block size")
                path = candidate
                self.device = device
                return
            } catch {
                // Somebody else took it in between.
                if !error.isBusy { throw error }
            }
        }
    }

    deinit { _ = try? device.control(Request.clearDescriptor, 0, "take down loop device") }

    /// Why there are none here, if so.
    static let unavailable: String? = {
        do {
            try withTemporaryDirectory { directory in
                try makeFile(directory + "/probe", count: 65536)
                _ = try LoopDevice(directory + "/probe", blockSize: 512)
            }
            return nil
        } catch {
            return "\(error)"
        }
    }()
}

/// Compares a disk with an array of bytes that undergoes the same operations.
private struct Model {
    let disk: FileDisk
    let buffer = BlockBuffer(count: 1 << 20)
    var bytes: [UInt8]
    var random: SplitMix64
    private var tag: UInt32 = 0

    init(_ disk: FileDisk, seed: UInt64) {
        self.disk = disk
        bytes = [UInt8](repeating: 0, count: Int(disk.backend.geometry.capacity))
        random = SplitMix64(seed: seed)
    }

    private mutating func pick(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &random) }

    /// A range of the disk, more often aligned than not.
    private mutating func place(_ countMax: Int) -> (offset: Int, count: Int) {
        let unit = pick(0...2) == 0 ? 512 : 4096
        let count = min(unit * pick(1...countMax / unit), bytes.count / unit * unit)
        return (unit * pick(0...(bytes.count - count) / unit), count)
    }

    /// Memory for that many bytes, in up to five pieces, one after the other with gaps.
    private mutating func memory(_ count: Int) -> [Range<Int>] {
        let unit = [1, 512, 512, 4096][pick(0...3)]
        var ranges: [Range<Int>] = []
        var start = pick(0...3) == 0 ? pick(0...4095) : 0
        var left = count
        for piece in 1...5 where left > 0 {
            let length = piece == 5 ? left : min(left, max(unit, pick(1...left) / unit * unit))
            ranges.append(start..<start + length)
            start += length + unit * pick(0...3)
            left -= length
        }
        return ranges
    }

    private mutating func step() throws {
        tag += 1
        switch pick(0...9) {
        case 0...3:
            let (offset, count) = place(128 << 10)
            let ranges = memory(count)
            var at = offset
            for range in ranges {
                // One value a step and place: told apart without computing each byte.
                let data = [UInt8](repeating: UInt8(truncatingIfNeeded: Int(tag) &* 7 &+ at >> 9), count: range.count)
                buffer[range] = data
                bytes.replaceSubrange(at..<at + range.count, with: data)
                at += range.count
            }
            let options: BlockOptions = pick(0...3) == 0 ? .durable : []
            let request = buffer.request(.write, tag: tag, at: UInt64(offset), ranges, options: options)
            #expect(try disk.run(request) == [.done])
        case 4...6:
            let (offset, count) = place(128 << 10)
            let ranges = memory(count)
            #expect(try disk.run(buffer.request(.read, tag: tag, at: UInt64(offset), ranges)) == [.done])
            let read = ranges.flatMap { buffer[$0] }
            if read != Array(bytes[offset..<offset + count]) {
                Issue.record("step \(tag): \(count) bytes at \(offset) differ")
            }
        case 7:
            let (offset, count) = place(256 << 10)
            let options: BlockOptions = [[], .mayUnmap, .durable, [.mayUnmap, .durable]][pick(0...3)]
            let request = BlockRequest(
                .writeZeroes, tag: tag, offset: UInt64(offset), count: UInt64(count), options: options)
            #expect(try disk.run(request) == [.done])
            bytes.replaceSubrange(offset..<offset + count, with: repeatElement(0, count: count))
        case 8:
            let (offset, count) = place(256 << 10)
            #expect(
                try disk.run(BlockRequest(.discard, tag: tag, offset: UInt64(offset), count: UInt64(count))) == [.done])
            // Each block is what it was, or zeros.
            let zeros = [UInt8](repeating: 0, count: 512)
            tag += 1
            #expect(try disk.run(buffer.request(.read, tag: tag, at: UInt64(offset), [0..<count])) == [.done])
            for start in stride(from: 0, to: count, by: 512) {
                let block = buffer[start..<start + 512]
                let known = offset + start..<offset + start + 512
                if block != Array(bytes[known]), block != zeros { Issue.record("step \(tag): \(known) holds neither") }
                bytes.replaceSubrange(known, with: block)
            }
        default:
            #expect(try disk.run(BlockRequest(.flush, tag: tag)) == [.done])
        }
    }

    mutating func run(_ steps: Int) throws {
        for _ in 0..<steps { try step() }
        let all = bytes.count
        #expect(try disk.run(buffer.request(.read, tag: .max, at: 0, [0..<all])) == [.done])
        #expect(buffer[0..<all] == bytes)
    }
}

@Suite("Disk against a model", .ring)
struct ModelTests {
    private let size = 640 << 10

    @Test("a file", arguments: [DiskCache.direct, .host])
    func file(_ cache: DiskCache) throws {
        try withTemporaryDirectory { directory in
            let path = directory + "/disk.img"
            try makeFile(path, count: size)
            var model = Model(
                try FileDisk([.whole(BlockFile(opening: path, writable: true, cache: cache))]), seed: 1)
            try model.run(100)
            #expect(try contents(path, count: size) == model.bytes)
        }
    }

    @Test("extents of several files, some not aligned to pages")
    func extents() throws {
        try withTemporaryDirectory { directory in
            var extents: [DiskExtent] = []
            for (index, blocks) in [3, 200, 1, 512, 333].enumerated() {
                let path = directory + "/disk-f\(index).vmdk"
                try makeFile(path, count: (blocks + 7) * 512)
                let file = try BlockFile(opening: path, writable: true)
                extents.append(DiskExtent(count: UInt64(blocks * 512), source: .file(file, offset: 7 * 512)))
            }
            var model = Model(try FileDisk(extents), seed: 2)
            try model.run(100)
        }
    }

    @Test(
        "a block device, also one whose blocks are larger than the guest's",
        .enabled(if: LoopDevice.unavailable == nil, "no loop devices here: \(LoopDevice.unavailable ?? "")"),
        arguments: [512, 4096] as [UInt])
    func device(_ blockSize: UInt) throws {
        try withTemporaryDirectory { directory in
            let path = directory + "/backing.img"
            try makeFile(path, count: size)
            let loop = try LoopDevice(path, blockSize: blockSize)
            let file = try BlockFile(opening: loop.path, writable: true)
            #expect(file.isBlockDevice)
            #expect(file.size == UInt64(size))
            #expect(file.blockSize == UInt32(blockSize))
            var model = Model(try FileDisk([.whole(file)]), seed: 3)
            try model.run(100)
            withExtendedLifetime(loop) {}
        }
    }
}
