public import Linux

/// A file that saved state is written to. It has its name only when it is whole and safe from a power cut.
public final class StateFileSink: StateSink {
    private let file: Descriptor
    private let path: String
    private let temporary: String
    private var offset: Int64 = 0
    private var isFinished = false

    /// Begins a new file beside the one that is to be.
    public init(_ path: String) throws(StateError) {
        self.path = path
        temporary = path + ".new"
        do throws(SystemError) {
            // Only one process may run the machine, so what is there was left by a crash.
            removeFile(temporary)
            file = try Descriptor(opening: temporary, [.readWrite, .create, .exclusive], permissions: 0o600)
        } catch { throw .system(error) }
        // Guest memory is not read again soon: it would only push other things out of the page cache.
        _ = file.setDirect(true)
    }

    deinit { if !isFinished { removeFile(temporary) } }

    @unsafe public func write(_ pieces: UnsafeMutableBufferPointer<IOVector>) throws(StateError) {
        var count = 0
        for index in pieces.indices { unsafe count += pieces[index].count }
        do throws(SystemError) {
            unsafe try file.write(vectors: pieces, at: offset, path)
        } catch { throw .system(error) }
        offset += Int64(count)
    }

    /// Gives the file its name.
    public func finish() throws(StateError) {
        do throws(SystemError) {
            try file.synchronize(path)
            try renameFile(temporary, path)
            isFinished = true
            try Files.synchronizeDirectory(Files.directory(of: path))
        } catch { throw .system(error) }
    }
}

/// A file that saved state is read from.
public final class StateFileSource: StateSource {
    private let file: Descriptor
    private let path: String
    private var offset: Int64 = 0

    public init(_ path: String) throws(StateError) {
        self.path = path
        do throws(SystemError) {
            file = try Descriptor(opening: path, [.readOnly])
        } catch { throw .system(error) }
        _ = file.setDirect(true)
    }

    @unsafe public func read(_ pieces: UnsafeMutableBufferPointer<IOVector>) throws(StateError) -> Int {
        do throws(SystemError) {
            let count = unsafe try file.read(vectors: pieces, at: offset, path)
            offset += Int64(count)
            return count
        } catch { throw .system(error) }
    }
}
