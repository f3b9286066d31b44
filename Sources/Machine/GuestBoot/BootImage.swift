import Bytes
public import GuestMemory
import Linux

/// A kernel or initial RAM disk as foreign bytes that are read where and when they are needed.
///
/// Not a mapping: a mapped file that another process cuts short would end this one with SIGBUS.
public protocol BootImage: Sendable {
    /// What to call it in errors.
    var name: String { get }
    /// Length in bytes.
    var count: Int { get }
    /// Exactly the bytes of `range`, which lies inside the image.
    func read(_ range: Range<Int>) throws(GuestBootError) -> [UInt8]
    /// Puts the bytes of `range`, which lies inside the image, into guest memory.
    func copy(_ range: Range<Int>, into ram: GuestRAM, at address: GuestAddress) throws(GuestBootError)
}

extension BootImage {
    /// The first bytes of the image, fewer than `limit` if it is shorter.
    func head(_ limit: Int) throws(GuestBootError) -> [UInt8] { try read(0..<min(limit, count)) }

    /// Reads `count` bytes at `offset` after checking that the image has them.
    func read(_ what: String, at offset: Int, count: Int) throws(GuestBootError) -> [UInt8] {
        guard offset >= 0, count >= 0, offset <= self.count, count <= self.count - offset else {
            throw GuestBootError(
                name, .truncated(what: what, offset: offset, needed: count, available: self.count))
        }
        return try read(offset..<offset + count)
    }
}

/// An image in memory: for tests, and for images that are made rather than read.
public struct MemoryImage: BootImage {
    public let name: String
    private let bytes: [UInt8]

    public init(_ name: String, _ bytes: [UInt8]) {
        self.name = name
        self.bytes = bytes
    }

    public var count: Int { bytes.count }

    public func read(_ range: Range<Int>) throws(GuestBootError) -> [UInt8] { Array(bytes[range]) }

    public func copy(_ range: Range<Int>, into ram: GuestRAM, at address: GuestAddress) throws(GuestBootError) {
        let done = unsafe bytes.withUnsafeBytes { buffer in
            guard !range.isEmpty, let base = buffer.baseAddress else { return true }
            // Inside the array: the slice below would have trapped otherwise.
            return unsafe ram.copy(from: base + range.lowerBound, to: address, count: range.count)
        }
        if !done { throw GuestBootError(name, .outsideMemory(address: address, count: range.count)) }
    }
}

/// An image in a file, read straight into guest memory.
public final class FileImage: BootImage {
    public let name: String
    public let count: Int
    private let file: Descriptor

    /// Opens the file at `path`; it stays open, so that a later replacement of the name does no harm.
    public init(_ path: String) throws(GuestBootError) {
        let identity: FileIdentity
        do throws(SystemError) {
            file = try Descriptor(opening: path, .readOnly)
            identity = try file.identity(path)
        } catch {
            throw GuestBootError(path, .unreadable("\(error)"))
        }
        guard identity.kind == .regular, let size = Int(exactly: identity.size) else {
            throw GuestBootError(path, .notAFile)
        }
        name = path
        count = size
    }

    public func read(_ range: Range<Int>) throws(GuestBootError) -> [UInt8] {
        var failure: GuestBootError?
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: range.count) { buffer, count in
            do throws(GuestBootError) {
                try unsafe fill(UnsafeMutableRawBufferPointer(buffer), from: range)
                count = range.count
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return bytes
    }

    public func copy(_ range: Range<Int>, into ram: GuestRAM, at address: GuestAddress) throws(GuestBootError) {
        guard let target = unsafe ram.pointer(at: address, count: range.count) else {
            throw GuestBootError(name, .outsideMemory(address: address, count: range.count))
        }
        try unsafe fill(UnsafeMutableRawBufferPointer(start: target, count: range.count), from: range)
        ram.markDirty(address, count: range.count)
    }

    /// - Precondition: the buffer holds `range.count` bytes.
    private func fill(_ buffer: UnsafeMutableRawBufferPointer, from range: Range<Int>) throws(GuestBootError) {
        let done: Int
        do throws(SystemError) {
            let whole = unsafe UnsafeMutableRawBufferPointer(start: buffer.baseAddress, count: range.count)
            done = try unsafe file.read(into: whole, at: Int64(range.lowerBound), name)
        } catch {
            throw GuestBootError(name, .unreadable("\(error)"))
        }
        guard done == range.count else {
            throw GuestBootError(name, .changedWhileRead(offset: range.lowerBound + done))
        }
    }
}
