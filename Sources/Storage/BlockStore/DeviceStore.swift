public import Linux

/// A partition, a disk or a file as a `BlockStore`.
///
/// Devices are read and written past the page cache, so that a read says what the medium holds. For one thread.
public final class DeviceStore: BlockStore {
    public let size: UInt64
    public let blockSize: Int
    public let name: String

    private let descriptor: Descriptor
    /// Whether requests go past the page cache, which wants whole blocks and memory aligned like `buffer`.
    private let isDirect: Bool
    private let buffer: Mapping
    private static let bufferSize = 1 << 20

    /// Opens a device, or a file that is there.
    public convenience init(_ path: String, writable: Bool = true) throws(SystemError) {
        try self.init(Descriptor(opening: path, writable ? .readWrite : .readOnly), path)
    }

    /// Opens a file and makes it `size` bytes long; what is not written takes no space.
    public convenience init(file path: String, size: UInt64) throws(SystemError) {
        let file = try Descriptor(opening: path, [.readWrite, .create], permissions: 0o600)
        let length = try file.properties().size
        if length < size { try file.resize(to: Int64(clamping: size), path) }
        try self.init(file, path)
    }

    private init(_ descriptor: consuming Descriptor, _ path: String) throws(SystemError) {
        let properties = try descriptor.properties()
        guard properties.isBlockDevice || properties.isRegularFile else { throw .invalid("use as a disk", path) }
        name = path
        // A file's block size is what its file system likes, not what a device writes at once.
        let blockSize = properties.isBlockDevice ? Int(properties.blockSize) : 512
        guard [512, 1024, 2048, 4096].contains(blockSize) else {
            throw .invalid("use blocks of \(blockSize) bytes on", path)
        }
        self.blockSize = blockSize
        size = properties.size & ~UInt64(blockSize - 1)
        isDirect = properties.isBlockDevice && descriptor.setDirect(true)
        self.descriptor = descriptor
        buffer = try Mapping(anonymous: Self.bufferSize, "a buffer for \(path)")
    }

    public func read(_ count: Int, at offset: UInt64) throws(SystemError) -> [UInt8] {
        try check(count, at: offset, "read")
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count)
        while bytes.count < count {
            let place = offset + UInt64(bytes.count)
            let chunk = try load(place, count - bytes.count)
            let skipped = Int(place - chunk.start)
            let taken = min(chunk.count - skipped, count - bytes.count)
            guard taken > 0 else {
                throw SystemError(number: SystemError.inputOutput, operation: "read", subject: name)
            }
            unsafe bytes.append(
                contentsOf: UnsafeRawBufferPointer(start: buffer.base, count: chunk.count)[skipped..<skipped + taken])
        }
        return bytes
    }

    public func write(_ bytes: [UInt8], at offset: UInt64) throws(SystemError) {
        try check(bytes.count, at: offset, "write")
        var done = 0
        while done < bytes.count {
            let place = offset + UInt64(done)
            let start = place & ~UInt64(blockSize - 1)
            let skipped = Int(place - start)
            let taken = min(Self.bufferSize - skipped, bytes.count - done)
            let count = (skipped + taken + blockSize - 1) & ~(blockSize - 1)
            if skipped != 0 || count != taken { _ = try load(start, count) }
            unsafe bytes.withUnsafeBytes { source in
                // Inside both: done + taken ≤ bytes.count, skipped + taken ≤ bufferSize.
                let target = unsafe UnsafeMutableRawBufferPointer(start: buffer.base + skipped, count: taken)
                unsafe target.copyMemory(from: UnsafeRawBufferPointer(rebasing: source[done..<done + taken]))
            }
            try unsafe descriptor.write(
                from: UnsafeRawBufferPointer(start: buffer.base, count: count), at: Int64(clamping: start), name)
            done += taken
        }
    }

    public func flush() throws(SystemError) { try descriptor.synchronizeData(name) }

    public func dropCache() { if !isDirect { descriptor.dropCachedPages() } }

    /// Fills the buffer with the blocks from the one that `place` lies in: `count` bytes beyond `place`, if they fit.
    private func load(_ place: UInt64, _ count: Int) throws(SystemError) -> (start: UInt64, count: Int) {
        let start = place & ~UInt64(blockSize - 1)
        let end = min((place + UInt64(count) + UInt64(blockSize - 1)) & ~UInt64(blockSize - 1), size)
        let wanted = min(Int(clamping: end - start), Self.bufferSize)
        let target = unsafe UnsafeMutableRawBufferPointer(start: buffer.base, count: wanted)
        return (start, try unsafe descriptor.read(into: target, at: Int64(clamping: start), name))
    }
}
