public import Linux

/// The memory of a display adapter: bytes that the guest may have mapped and write at any moment.
public protocol FramebufferMemory: AnyObject, Sendable {
    /// First byte. Valid for `count` bytes as long as the object lives.
    @unsafe var base: UnsafeMutableRawPointer { get }
    /// Length in bytes: a power of two, at least 256 KiB, at most 256 MiB.
    var count: Int { get }

    /// Adds the pages that the guest wrote through its own mapping since the last call: bit n of `pages`, counted through all
    /// words, is the 4 KiB from n × 4096. Called on the thread that looks at the screen.
    ///
    /// - Parameter pages: as many words as the memory has pages, divided by 64 and rounded up.
    /// - Returns: false if that is not known; then any page may have been written.
    func takeWrittenPages(into pages: inout [UInt64]) -> Bool
}

/// Video memory in a memory file, for a guest that reaches it only through exits, or with a mapping whose writes nobody logs.
public final class FramebufferFile: FramebufferMemory {
    private let file: Descriptor
    private let mapping: Mapping
    private let isMapped: Bool

    /// - Parameters:
    ///   - count: bytes; see `FramebufferMemory.count`.
    ///   - isMapped: the guest writes without this process' noticing, so every page counts as written at each look.
    public init(count: Int = 16 << 20, isMapped: Bool) throws(SystemError) {
        file = try Descriptor.memoryFile("video-memory", count: count)
        mapping = try Mapping(sharing: file.raw, count: count, "video memory of \(count >> 20) MiB")
        mapping.excludeFromDumps()
        self.isMapped = isMapped
    }

    public var base: UnsafeMutableRawPointer { unsafe mapping.base }
    public var count: Int { mapping.count }

    /// The memory file's number, borrowed.
    public var descriptor: CInt { file.raw }

    public func takeWrittenPages(into pages: inout [UInt64]) -> Bool { !isMapped }
}
