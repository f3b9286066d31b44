public import BlockStore
public import BootMedium
public import FAT
public import Linux

/// The loader's environment where it lies: a file on the EFI system partition, whose bytes are overwritten in place.
///
/// A change is one sector, so that after a power cut it is there or not; see docs/formats/boot-environment.md.
public final class LoaderEnvironment {
    private static let sectorSize = 512
    private let store: any BlockStore
    private let stretches: [FATReader.Stretch]

    /// Finds the file.
    public init(_ partition: any BlockStore) throws(LoaderEnvironmentError) {
        store = partition
        do throws(FATReadError) {
            let reader = try FATReader(partition)
            let entry = try reader.entry(BootEnvironment.path)
            guard entry.size == UInt32(BootEnvironment.size) else { throw .damaged(BootEnvironment.path) }
            stretches = try reader.stretches(of: entry, BootEnvironment.path)
        } catch { throw .file(error) }
        guard let first = stretches.first, first.count >= UInt64(Self.sectorSize) else {
            throw .file(.damaged(BootEnvironment.path))
        }
    }

    /// The variables as they are now.
    public func read() throws(LoaderEnvironmentError) -> BootEnvironment { try load().variables }

    /// Changes variables; returns when that is safe from a power cut. Writes nothing if nothing changes.
    ///
    /// - Returns: whether anything was written.
    @discardableResult
    public func change(_ body: (inout BootEnvironment) -> Void) throws(LoaderEnvironmentError) -> Bool {
        let (old, before) = try load()
        var variables = before
        body(&variables)
        guard variables != before else { return false }
        let new: [UInt8]
        do { new = try variables.bytes() } catch { throw .content(error) }
        // The second sector could be written before the first, or instead of it.
        guard new[Self.sectorSize...] == old[Self.sectorSize...] else { throw .content(.tooLong) }
        do {
            try store.write(Array(new[..<Self.sectorSize]), at: stretches[0].offset)
            try store.flush()
        } catch { throw .disk(error) }
        return true
    }

    /// Puts variables in the place of an environment that cannot be read; one that can is left alone.
    ///
    /// - Returns: whether anything was written.
    func replaceDamaged(by variables: BootEnvironment) throws(LoaderEnvironmentError) -> Bool {
        do {
            _ = try load()
            return false
        } catch { guard error == .content(.notAnEnvironment) else { throw error } }
        let new: [UInt8]
        do { new = try variables.bytes() } catch { throw .content(error) }
        var left = new[...]
        var pieces: [(offset: UInt64, bytes: [UInt8])] = []
        for stretch in stretches {
            for start in stride(from: 0, to: stretch.count, by: Self.sectorSize) where !left.isEmpty {
                pieces.append((stretch.offset + start, Array(left.prefix(Self.sectorSize))))
                left = left.dropFirst(Self.sectorSize)
            }
        }
        do throws(SystemError) {
            // The first sector, which makes it one that can be read, comes last.
            for (offset, bytes) in pieces.reversed() {
                try store.write(bytes, at: offset)
                try store.flush()
            }
        } catch { throw .disk(error) }
        return true
    }

    private func load() throws(LoaderEnvironmentError) -> (bytes: [UInt8], variables: BootEnvironment) {
        var bytes: [UInt8] = []
        do throws(SystemError) {
            for stretch in stretches { bytes += try store.read(Int(stretch.count), at: stretch.offset) }
        } catch { throw .disk(error) }
        do { return (bytes, try BootEnvironment(parsing: bytes)) } catch { throw .content(error) }
    }
}

/// Why the loader's environment cannot be used.
public enum LoaderEnvironmentError: Error, Equatable, Sendable, CustomStringConvertible {
    case file(FATReadError)
    case content(BootEnvironmentError)
    case disk(SystemError)

    public var description: String {
        switch self {
        case .file(let error): "the boot loader's environment cannot be found: \(error)"
        case .content(let error): "\(error)"
        case .disk(let error): "the boot loader's environment: \(error)"
        }
    }
}
