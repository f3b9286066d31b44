public import Synchronization

/// Which pages the host itself wrote since the last look. A trivial handle; `GuestMemory` owns the bits.
@safe @usableFromInline struct DirtyLog: BitwiseCopyable, @unchecked Sendable {
    // @unchecked: the bits and the switch are atomics.

    @usableFromInline let tracking: UnsafeMutablePointer<Atomic<Bool>>
    private let words: UnsafeMutablePointer<Atomic<UInt64>>
    let wordCount: Int

    /// - Parameter pages: how many pages of 4 KiB there are.
    init(pages: Int) {
        wordCount = (pages + 63) / 64
        unsafe tracking = .allocate(capacity: 1)
        unsafe tracking.initialize(to: Atomic(false))
        unsafe words = .allocate(capacity: max(wordCount, 1))
        for index in 0..<wordCount { unsafe (words + index).initialize(to: Atomic(0)) }
    }

    /// Frees the bits; nobody may hold a copy any more.
    func destroy() {
        unsafe tracking.deinitialize(count: 1)
        unsafe tracking.deallocate()
        unsafe words.deinitialize(count: wordCount)
        unsafe words.deallocate()
    }

    @inlinable var isTracking: Bool { unsafe tracking.pointee.load(ordering: .relaxed) }

    func setTracking(_ on: Bool) {
        unsafe tracking.pointee.store(on, ordering: .sequentiallyConsistent)
    }

    func mark(_ page: UInt64) {
        let word = Int(truncatingIfNeeded: page >> 6)
        guard word < wordCount else { return }
        // Releasing: whoever takes the bit sees the bytes that were written before it.
        unsafe (words + word).pointee.bitwiseOr(1 << (page & 63), ordering: .releasing)
    }

    /// Takes and clears the bits of 64 pages.
    func take(word: Int) -> UInt64 {
        guard word >= 0, word < wordCount else { return 0 }
        return unsafe (words + word).pointee.exchange(0, ordering: .acquiring)
    }
}
