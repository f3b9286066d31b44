import DeviceModel
import Linux
import Synchronization

/// How a request gets from one operation to the next.
extension FileBlockQueue {
    /// What to do after a step.
    enum Progress {
        /// Take the next step at once.
        case again
        /// The slot is with the kernel, in a list, or finished.
        case handedOn
    }

    /// Whether the request is wrong in itself, and how it ends then. Takes note of the segments' alignment.
    func refusal(_ slot: UnsafeMutablePointer<RequestSlot>) -> BlockStatus? {
        let request = unsafe slot.pointee.request
        if request.operation == .flush { return nil }
        if isReadOnly && request.operation != .read { return .readOnly }
        let (end, overflow) = request.offset.addingReportingOverflow(request.count)
        guard !overflow, unsafe end <= state.pointee.capacity, (request.offset | request.count) & blockMask == 0 else {
            return .outOfRange
        }
        if request.operation == .discard || request.operation == .writeZeroes { return nil }
        var total: UInt64 = 0
        var addresses: UInt = 0
        var lengths: UInt = 0
        if let segments = unsafe request.segments {
            for index in 0..<request.segmentCount {
                let segment = unsafe segments[index]
                unsafe total &+= UInt64(truncatingIfNeeded: segment.count)
                unsafe addresses |= UInt(bitPattern: segment.base)
                unsafe lengths |= UInt(bitPattern: segment.count)
            }
        }
        unsafe slot.pointee.addressBits = addresses
        unsafe slot.pointee.lengthBits = lengths
        return total == request.count ? nil : .outOfRange
    }

    /// Goes on with a slot until it has to wait or is finished.
    func step(_ index: Int32) {
        let slot = unsafe slots + Int(index)
        while true {
            let progress =
                switch unsafe slot.pointee.request.operation {
                case .read, .write: unsafe stepTransfer(index, slot)
                case .flush: unsafe stepSync(index, slot)
                case .discard, .writeZeroes: unsafe stepAllocate(index, slot)
                }
            if progress == .handedOn { return }
        }
    }

    /// The extent that holds a byte of the disk.
    @inline(__always)
    private func entry(at position: UInt64) -> DiskLayout.Entry {
        // The caller has checked that position < capacity, the last entry's end.
        let entries = unsafe state.pointee.entries
        var low = 0
        var high = entries.count - 1
        while low < high {
            let middle = (low &+ high) / 2
            if unsafe position < entries[middle].end { high = middle } else { low = middle &+ 1 }
        }
        return unsafe entries[low]
    }

    private func wait(_ index: Int32) -> Progress {
        unsafe state.pointee.waiting.append(index, slots)
        return .handedOn
    }

    /// The operation for a slot is in the ring, or there was no room.
    @inline(__always)
    private func handOver(_ index: Int32, _ isPrepared: Bool) -> Progress {
        guard isPrepared else { return wait(index) }
        unsafe state.pointee.operations &+= 1
        return .handedOn
    }

    // MARK: Read and write

    private func stepTransfer(_ index: Int32, _ slot: UnsafeMutablePointer<RequestSlot>) -> Progress {
        let left = unsafe slot.pointee.left
        if left == 0 {
            finish(index, .done)
            return .handedOn
        }
        let position = unsafe slot.pointee.position
        let entry = entry(at: position)
        // At most what one operation of the kernel moves.
        let piece = min(left, entry.end &- position, 0x7fff_f000)
        let isWrite = unsafe slot.pointee.request.operation == .write
        if isWrite && !entry.isWritable {
            finish(index, .readOnly)
            return .handedOn
        }
        if entry.file < 0 {
            unsafe zeroFill(slot, piece)
            return .again
        }
        let file = unsafe state.pointee.files[Int(entry.file)]
        unsafe slot.pointee.stage = .transfer
        unsafe slot.pointee.file = entry.file
        unsafe slot.pointee.filePosition = entry.fileOffset &+ (position &- entry.start)

        let ends = unsafe slot.pointee.filePosition | piece
        if ends & file.offsetMask != 0 {
            guard let unaligned = file.unaligned else {
                finish(index, .failed)
                return .handedOn
            }
            if isWrite { file.noteCachedWrite() }
            return unsafe prepareTransfer(index, slot, unaligned, piece)
        }
        let addresses = unsafe (slot.pointee.addressBits | UInt(bitPattern: slot.pointee.segmentDone)) & file.memoryMask
        let lengths = unsafe UInt64(slot.pointee.lengthBits) & file.offsetMask
        if addresses != 0 || lengths != 0 { return unsafe prepareBounced(index, slot, file, piece) }
        return unsafe prepareTransfer(index, slot, file.main, piece)
    }

    private func prepareTransfer(
        _ index: Int32, _ slot: UnsafeMutablePointer<RequestSlot>, _ file: IORingFile, _ piece: UInt64
    ) -> Progress {
        let request = unsafe slot.pointee.request
        let userData = UInt64(truncatingIfNeeded: index)
        let at = unsafe slot.pointee.filePosition
        let isDurable = request.options.contains(.durable)
        let isRead = request.operation == .read
        guard let segments = unsafe request.segments else { return .handedOn }  // `piece` > 0, so there are some

        let first = unsafe slot.pointee.segment
        let firstDone = unsafe slot.pointee.segmentDone
        let firstLeft = unsafe segments[first].count &- firstDone
        if UInt64(truncatingIfNeeded: firstLeft) >= piece, let base = unsafe segments[first].base {
            unsafe slot.pointee.piece = piece
            let count = UInt32(truncatingIfNeeded: piece)
            return unsafe handOver(
                index,
                isRead
                    ? ring.prepareRead(file, at: at, into: base + firstDone, count: count, userData: userData)
                    : ring.prepareWrite(
                        file, at: at, from: base + firstDone, count: count, durable: isDurable, userData: userData))
        }
        var vectors = unsafe UnsafePointer(segments)
        var count = request.segmentCount
        if unsafe slot.pointee.done == 0 && piece == request.count && count <= Self.vectorsMax {
            unsafe slot.pointee.piece = piece
        } else {
            guard let made = unsafe makeVectors(slot, piece) else { return wait(index) }
            unsafe vectors = UnsafePointer(made.baseAddress ?? self.vectors)
            count = made.count
        }
        let vectorCount = UInt32(truncatingIfNeeded: count)
        return unsafe handOver(
            index,
            isRead
                ? ring.prepareRead(file, at: at, into: vectors, vectorCount: vectorCount, userData: userData)
                : ring.prepareWrite(
                    file, at: at, from: vectors, vectorCount: vectorCount, durable: isDurable, userData: userData))
    }

    /// Vectors for the next `piece` bytes of a slot, or fewer if these are too scattered; sets the slot's piece. Nil if
    /// there is no room.
    private func makeVectors(
        _ slot: UnsafeMutablePointer<RequestSlot>, _ piece: UInt64
    ) -> UnsafeMutableBufferPointer<IOVector>? {
        if unsafe Self.vectorPool &- state.pointee.vectorsUsed < Self.vectorsMax, !makeRoom() { return nil }
        let start = unsafe vectors + state.pointee.vectorsUsed
        var count = 0
        var bytes = 0
        unsafe slot.pointee.forEachStretch(Int(truncatingIfNeeded: piece)) { base, _, length in
            guard count < Self.vectorsMax else { return }
            unsafe start[count] = IOVector(base: base, count: length)
            count &+= 1
            bytes &+= length
        }
        unsafe state.pointee.vectorsUsed &+= count
        unsafe slot.pointee.piece = UInt64(truncatingIfNeeded: bytes)
        return unsafe UnsafeMutableBufferPointer(start: start, count: count)
    }

    /// For guest memory that the storage cannot reach directly.
    private func prepareBounced(
        _ index: Int32, _ slot: UnsafeMutablePointer<RequestSlot>, _ file: File, _ piece: UInt64
    ) -> Progress {
        let free = unsafe state.pointee.freeBounces
        guard free != 0 else { return wait(index) }
        let number = free.trailingZeroBitCount
        unsafe state.pointee.freeBounces = free & (free &- 1)
        unsafe slot.pointee.bounce = Int32(truncatingIfNeeded: number)
        let buffer = unsafe bounces.base + number &* Self.bounceSize
        // Both are made of whole blocks, so what is cut off here is too.
        let count = min(piece, UInt64(Self.bounceSize))
        unsafe slot.pointee.piece = count
        let userData = UInt64(truncatingIfNeeded: index)
        let at = unsafe slot.pointee.filePosition
        if unsafe slot.pointee.request.operation == .read {
            return unsafe handOver(
                index,
                ring.prepareRead(
                    file.main, at: at, into: buffer, count: UInt32(truncatingIfNeeded: count), userData: userData))
        }
        unsafe slot.pointee.forEachStretch(Int(truncatingIfNeeded: count)) { base, at, length in
            unsafe (buffer + at).copyMemory(from: base, byteCount: length)
        }
        let isDurable = unsafe slot.pointee.request.options.contains(.durable)
        return unsafe handOver(
            index,
            ring.prepareWrite(
                file.main, at: at, from: buffer, count: UInt32(truncatingIfNeeded: count), durable: isDurable,
                userData: userData))
    }

    func zeroFill(_ slot: UnsafeMutablePointer<RequestSlot>, _ count: UInt64) {
        unsafe slot.pointee.forEachStretch(Int(truncatingIfNeeded: count)) { base, _, length in
            unsafe base.initializeMemory(as: UInt8.self, repeating: 0, count: length)
        }
        unsafe slot.pointee.advance(count)
    }

    // MARK: Flush

    private func stepSync(_ index: Int32, _ slot: UnsafeMutablePointer<RequestSlot>) -> Progress {
        let number = unsafe slot.pointee.syncFile
        let files = unsafe state.pointee.files
        if isReadOnly || Int(number) >= files.count {
            finish(index, .done)
            return .handedOn
        }
        let file = unsafe files[Int(number)]
        guard file.isWritable else {
            unsafe slot.pointee.syncFile &+= 1
            return .again
        }
        if unsafe file.owner._withUnsafeGuaranteedRef({ $0.lostWrites.load(ordering: .relaxed) }) != 0 {
            finish(index, .failed)
            return .handedOn
        }
        unsafe slot.pointee.stage = .sync
        unsafe slot.pointee.file = number
        return handOver(
            index, ring.prepareDataSync(file.main, userData: UInt64(truncatingIfNeeded: index)))
    }

    // MARK: Discard and write zeroes

    private func stepAllocate(_ index: Int32, _ slot: UnsafeMutablePointer<RequestSlot>) -> Progress {
        let request = unsafe slot.pointee.request
        let left = unsafe slot.pointee.left
        if left == 0 {
            // fallocate has no flag for durability: sync afterwards.
            if request.options.contains(.durable) { return unsafe stepSync(index, slot) }
            finish(index, .done)
            return .handedOn
        }
        let position = unsafe slot.pointee.position
        let entry = entry(at: position)
        let piece = min(left, entry.end &- position)
        guard entry.isWritable else {
            // Nothing to free; and zeros are zeros already, but only those.
            if request.operation == .writeZeroes && entry.file >= 0 {
                finish(index, .readOnly)
                return .handedOn
            }
            unsafe slot.pointee.advance(piece)
            return .again
        }
        let file = unsafe state.pointee.files[Int(entry.file)]
        let start = entry.fileOffset &+ (position &- entry.start)
        unsafe slot.pointee.file = entry.file
        unsafe slot.pointee.filePosition = start
        unsafe slot.pointee.piece = piece
        let canPunch = unsafe file.owner._withUnsafeGuaranteedRef { $0.canPunch.load(ordering: .relaxed) }
        let userData = UInt64(truncatingIfNeeded: index)
        let mask = file.allocationBlock &- 1

        if request.operation == .discard {
            // A hint: what cannot be freed stays. A device wants whole blocks.
            let from = (start &+ mask) & ~mask
            let end = (start &+ piece) & ~mask
            guard discards, canPunch, from < end else {
                unsafe slot.pointee.advance(piece)
                return .again
            }
            unsafe slot.pointee.stage = .punch
            return handOver(
                index,
                ring.prepareAllocate(
                    file.main, [.punchHole, .keepSize], at: from, count: end &- from, userData: userData))
        }
        let isWhole = (start | piece) & mask == 0
        if isWhole, request.options.contains(.mayUnmap), discards, canPunch {
            unsafe slot.pointee.stage = .punch
            return handOver(
                index,
                ring.prepareAllocate(file.main, [.punchHole, .keepSize], at: start, count: piece, userData: userData))
        }
        if isWhole, unsafe file.owner._withUnsafeGuaranteedRef({ $0.canZeroRange.load(ordering: .relaxed) }) {
            unsafe slot.pointee.stage = .zeroRange
            return handOver(
                index,
                ring.prepareAllocate(file.main, [.zeroRange, .keepSize], at: start, count: piece, userData: userData))
        }
        return unsafe prepareZeros(index, slot, file)
    }

    /// Writes zeros where the storage has no quicker way.
    private func prepareZeros(
        _ index: Int32, _ slot: UnsafeMutablePointer<RequestSlot>, _ file: File
    ) -> Progress {
        let vectorsMax = 16
        if unsafe Self.vectorPool &- state.pointee.vectorsUsed < vectorsMax, !makeRoom() { return wait(index) }
        let start = unsafe vectors + state.pointee.vectorsUsed
        var left = unsafe Int(min(slot.pointee.piece, UInt64(vectorsMax * Self.zerosSize)))
        unsafe slot.pointee.piece = UInt64(left)
        var count = 0
        while left > 0 {
            let length = min(left, Self.zerosSize)
            unsafe start[count] = IOVector(base: zeros.base, count: length)
            count &+= 1
            left &-= length
        }
        unsafe state.pointee.vectorsUsed &+= count
        unsafe slot.pointee.stage = .writeZeros
        let ends = unsafe slot.pointee.filePosition | slot.pointee.piece
        let isAligned = ends & file.offsetMask == 0
        guard let target = isAligned ? file.main : file.unaligned else {
            finish(index, .failed)
            return .handedOn
        }
        if !isAligned { file.noteCachedWrite() }
        return unsafe handOver(
            index,
            ring.prepareWrite(
                target, at: slot.pointee.filePosition, from: UnsafePointer(start),
                vectorCount: UInt32(truncatingIfNeeded: count), userData: UInt64(truncatingIfNeeded: index)))
    }
}
