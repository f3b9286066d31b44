import CLinux

/// Who holds a lock, for the message to the one who is refused.
public struct LockHolder: Equatable, Sendable, CustomStringConvertible {
    /// The virtual machine's display name.
    public var name: String
    public var process: Int32
    public var host: String

    public init(name: String, process: Int32, host: String) {
        self.name = name
        self.process = process
        self.host = host
    }

    /// This process, holding something for the virtual machine of this name.
    public static func current(name: String) -> LockHolder {
        var system = utsname()
        var host = ""
        if unsafe uname(&system) == 0 {
            // The kernel ends the name with a zero inside the array.
            host = unsafe withUnsafeBytes(of: &system.nodename) {
                unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
        }
        return LockHolder(name: name, process: getpid(), host: host)
    }

    /// `VM "web01" (pid 412 on esx1)`
    public var description: String { "VM \"\(name)\" (pid \(process) on \(host))" }

    /// As it stands in a lock file: a line each of format, process, host and name, cut to fit a slot.
    public var record: [UInt8] {
        var bytes = Array(
            "wafer-lock 1\n\(process)\n\(Self.plain(host))\n\(Self.plain(name))".utf8.prefix(LockFile.slotSize - 1))
        bytes += repeatElement(10, count: LockFile.slotSize - bytes.count)
        return bytes
    }

    /// Reads a record, which anybody who may write the directory may have written.
    public init?(record: [UInt8]) {
        let lines = String(decoding: record, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
        guard lines.count >= 4, lines[0] == "wafer-lock 1", let process = Int32(lines[1]) else { return nil }
        self.init(name: Self.plain(lines[3]), process: process, host: Self.plain(lines[2]))
    }

    /// Text without the characters that would break a line or quotes.
    private static func plain(_ text: some StringProtocol) -> String {
        String(String.UnicodeScalarView(text.unicodeScalars.filter { $0.value >= 32 && $0.value != 127 && $0 != "\"" }))
    }
}

/// Why a lock file was not acquired.
public enum LockFailure: Error, Equatable, Sendable {
    /// Others hold it; their names as far as they left them.
    case held([LockHolder])
    case system(SystemError)
}

/// A file beside a thing that is in use, which says by whom.
///
/// It has slots of one record each. A slot counts only while its holder keeps the lock on it, and the kernel drops that
/// lock when the holder dies: what a crash leaves behind is free at once and means nothing. The file goes with its holder.
public final class LockFile: Sendable {
    /// Bytes of a slot.
    static let slotSize = 512

    private let path: String
    private let file: Descriptor
    private let slots: Int

    /// Takes a slot and writes who has it.
    ///
    /// - Parameters:
    ///   - slots: how many may hold the file at once; the same for all who use it.
    /// - Throws: `held` if every slot is taken.
    public init(_ path: String, holder: LockHolder, slots: Int = 1) throws(LockFailure) {
        self.path = path
        self.slots = slots
        do {
            file = try Self.acquire(path, holder, slots)
        } catch let error as LockFailure {
            throw error
        } catch let error as SystemError {
            throw .system(error)
        } catch {
            throw .held([])
        }
    }

    deinit {
        // The last one out removes the file, before its lock goes with the descriptor. Who opened it in between and locks it
        // then notices that its name is gone. With several slots a newcomer may lose its name, never its lock on the thing.
        let all = 0..<Int64(slots * Self.slotSize)
        if (try? file.isLockedElsewhere(all)) == false { try? Files.remove(path) }
        // Closing would do, were there not the instant in which a process being spawned still has all our descriptors.
        file.unlock(all)
    }

    private static func acquire(_ path: String, _ holder: LockHolder, _ slots: Int) throws -> Descriptor {
        // Each turn means that a holder went away in that instant.
        for _ in 0..<100 {
            let mode: OpenMode = [.readWrite, .create, .nonBlocking, .notFollowingLink]
            let file = try Descriptor(opening: path, mode, permissions: 0o644)
            let identity = try file.identity(path)
            guard identity.kind == .regular else {
                throw SystemError(number: EEXIST, operation: "make lock file", subject: path)
            }
            var taken: Int?
            for slot in 0..<slots where try taken == nil && file.tryLock(.exclusive, range(slot), path) {
                taken = slot
            }
            guard let slot = taken else {
                let holders = self.holders(of: file, slots)
                // The holder may have left between the attempt and the look: then there is nobody to name, so try again.
                if holders.isEmpty, try !file.isLockedElsewhere(0..<Int64(slots * slotSize)) { continue }
                throw LockFailure.held(holders)
            }
            // A holder that released it removed the name: then this is nobody's file any more.
            guard let named = try? FileIdentity(of: path), named.isSameFile(as: identity) else { continue }
            try file.write(holder.record, at: Int64(slot * slotSize), path)
            return file
        }
        throw LockFailure.held([])
    }

    /// Who holds a lock file now; empty if nobody does or nobody can tell.
    public static func holders(of path: String, slots: Int = 1) -> [LockHolder] {
        guard let file = try? Descriptor(opening: path, [.readOnly, .nonBlocking]) else { return [] }
        return holders(of: file, slots)
    }

    private static func holders(of file: borrowing Descriptor, _ slots: Int) -> [LockHolder] {
        var holders: [LockHolder] = []
        for slot in 0..<slots {
            guard (try? file.isLockedElsewhere(range(slot))) == true,
                let record = try? file.contents(upTo: slotSize, at: Int64(slot * slotSize)),
                let holder = LockHolder(record: record)
            else { continue }
            holders.append(holder)
        }
        return holders
    }

    private static func range(_ slot: Int) -> Range<Int64> {
        Int64(slot * slotSize)..<Int64((slot + 1) * slotSize)
    }
}
