import BlockEngine
import BlockTestSupport
import CLinux
import DeviceModel
import Linux
import Testing

/// Why io_uring cannot be used here, if so.
let ringUnavailable: String? = {
    do {
        _ = try IORing(capacity: 1, completionCapacity: 1)
        return nil
    } catch {
        return "\(error)"
    }
}()

extension Trait where Self == ConditionTrait {
    /// Skips where io_uring is not permitted.
    static var ring: Self { .enabled(if: ringUnavailable == nil, "no io_uring here: \(ringUnavailable ?? "")") }
}

/// A disk on files with one queue that is driven by hand.
final class FileDisk {
    let backend: FileBlockBackend
    let queue: any BlockQueue
    let collector = BlockCollector()

    init(_ extents: [DiskExtent], _ options: FileBlockOptions = FileBlockOptions(), depth: Int = 32) throws {
        backend = try FileBlockBackend(extents, options)
        queue = try backend.makeQueue(on: nil, depth: depth)
        queue.attach(collector)
        try queue.resume()
    }

    deinit { queue.close() }

    /// Carries requests out and gives their statuses, in the order of the requests.
    func run(_ requests: BlockRequest...) throws -> [BlockStatus?] {
        collector.forget()
        for request in requests { #expect(queue.submit(request)) }
        queue.commit()
        queue.suspend()
        try queue.resume()
        return requests.map { collector.statuses[$0.tag] }
    }
}

/// Makes a file of `count` bytes, all `value`; a hole if that is nil.
func makeFile(_ path: String, count: Int, filledWith value: UInt8? = nil) throws {
    let file = try Descriptor(opening: path, [.readWrite, .create, .truncate])
    #expect(ftruncate(file.raw, count) == 0)
    if let value {
        let bytes = [UInt8](repeating: value, count: count)
        #expect(pwrite(file.raw, bytes, count, 0) == count)
    }
}

/// Reads a range of a file.
func contents(_ path: String, at offset: Int = 0, count: Int) throws -> [UInt8] {
    let file = try Descriptor(opening: path, .readOnly)
    var bytes = [UInt8](repeating: 0xaa, count: count)
    let result = pread(file.raw, &bytes, count, offset)
    return Array(bytes.prefix(max(result, 0)))
}

/// Bytes that tell where they are.
func pattern(_ count: Int, seed: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: ($0 &+ seed) &* 31 &+ ($0 >> 9) &* 7 &+ seed) }
}
