import BlockStore
public import BootMedium
import FAT
import Linux
import Signatures

/// An update on its way into the bank that does not run, piece by piece as its bundle comes in.
///
/// The bundle comes twice, because a host has no room for it: once to be checked, once to be written. Nothing is written before the
/// signature and every part's hash are found good. From the first write on until the last check the bank has no boot sector, so that
/// nothing can be started from it; only then is it put on trial, in one sector. A power cut at any moment starts the bank that runs
/// now. For one thread.
public final class BankUpdate {
    /// The head of a partition, written last.
    private static let headSize = 4096
    /// How much is read back in one step.
    private static let step: UInt64 = 1 << 20

    public let bank: BootBank
    /// The bundle's length in bytes.
    public let size: UInt64
    /// All of it has come once and is good; now it comes again.
    public private(set) var isChecked = false
    /// How many of its bytes have come, this time.
    public private(set) var received: UInt64 = 0
    /// Known once the signature was verified.
    public private(set) var manifest: Manifest?

    private let store: any BlockStore
    private let hiddenSectors: UInt32
    private let environment: LoaderEnvironment
    private let trusted: [Ed25519.PublicKey]

    /// The bundle's beginning, until it is whole, and its signature.
    private var head: [UInt8] = []
    private var signed = UpdateBundle(manifest: [], signature: [])
    /// Bytes of the bundle's beginning that are still to come again.
    private var headLeft = 0
    private var volume: FATVolume?
    private var bootHead: [UInt8] = []
    /// The part that comes in now, how much of it has come, and the hash of that.
    private var part = 0
    private var partDone: UInt64 = 0
    private var hash = SHA256()
    /// Where on the bank what must be read back lies.
    private var checks: [Check] = []
    private var isBroken = false

    /// A stretch of the bank, and the digest of what it must hold.
    private struct Check {
        var what: String
        var offset: UInt64
        var count: UInt64
        var digest: [UInt8]
    }

    init(
        of bank: BootBank, on store: any BlockStore, hiddenSectors: UInt32, _ environment: LoaderEnvironment,
        size: UInt64, trusted: [Ed25519.PublicKey]
    ) throws(UpdateError) {
        guard !trusted.isEmpty else { throw .noTrustedKey }
        guard size <= store.size else { throw .tooLarge(size, most: store.size) }
        self.bank = bank
        self.store = store
        self.hiddenSectors = hiddenSectors
        self.environment = environment
        self.size = size
        self.trusted = trusted
    }

    /// Takes the bundle's next bytes; after its last ones, its first ones once more. After an error the update is over.
    public func take(_ bytes: [UInt8]) throws(UpdateError) {
        guard !isBroken else { throw .over }
        isBroken = true
        guard UInt64(bytes.count) <= size - received else { throw .wrongSize }
        if isChecked, received == 0, !bytes.isEmpty { try prepare() }
        received += UInt64(bytes.count)
        var rest = bytes[...]
        if manifest == nil {
            head += rest
            rest = []
            if let length = try headLength(), head.count >= length {
                rest = head[length...]
                try check(Array(head[..<length]))
                head = []
            } else if received == size {
                throw .bundle(.cutShort)
            }
        } else {
            let skipped = min(headLeft, rest.count)
            headLeft -= skipped
            rest = rest.dropFirst(skipped)
        }
        if let manifest { try takeParts(rest, manifest) }
        if !isChecked, received == size {
            isChecked = true
            received = 0
            part = 0
            headLeft = signed.bytes.count
        }
        isBroken = false
    }

    private func headLength() throws(UpdateError) -> Int? {
        guard head.count >= UpdateBundle.headerSize else { return nil }
        do {
            return UpdateBundle.headerSize
                + (try UpdateBundle.lengthAfterHeader(Array(head[..<UpdateBundle.headerSize])))
        } catch { throw .bundle(error) }
    }

    /// Verifies the bundle's head.
    private func check(_ bytes: [UInt8]) throws(UpdateError) {
        do { signed = try UpdateBundle(parsing: bytes) } catch { throw .bundle(error) }
        guard trusted.contains(where: { $0.verifies(signed.signature, of: signed.manifest) }) else {
            throw .wrongSignature
        }
        let manifest: Manifest
        do { manifest = try Manifest(parsing: signed.manifest) } catch { throw .manifest(error) }
        // Parts are below 4 GiB and few: no overflow.
        guard manifest.parts.reduce(UInt64(bytes.count), { $0 + $1.size }) == size else { throw .wrongSize }
        volume = try layOut(manifest)
        self.manifest = manifest
    }

    /// Makes the old file system unusable, and writes the new one, all but what makes it usable.
    private func prepare() throws(UpdateError) {
        do {
            try environment.change { variables in
                variables["bank"] = bank.other.rawValue
                if let next = variables["next"], !next.isEmpty { variables["next"] = "" }
                if let trial = variables["trial"], !trial.isEmpty { variables["trial"] = "" }
            }
        } catch { throw .environment(error) }
        try onDisk { () throws(SystemError) in
            try store.write([UInt8](repeating: 0, count: Self.headSize), at: 0)
            try store.flush()
        }
        guard let volume else { throw .over }
        for extent in volume.structures {
            try write(extent.bytes, at: extent.offset, "the file system")
        }
        for (name, bytes) in [
            (Manifest.fileName, signed.manifest), (Manifest.signatureFileName, signed.signature),
        ] {
            if let offset = volume.contents[name] { try write(bytes, at: offset, name) }
        }
    }

    private func layOut(_ manifest: Manifest) throws(UpdateError) -> FATVolume {
        var files = manifest.parts.map { FATVolume.File(path: $0.name, size: $0.size) }
        files.append(.init(path: Manifest.fileName, size: UInt64(signed.manifest.count)))
        files.append(.init(path: Manifest.signatureFileName, size: UInt64(signed.signature.count)))
        let label = bank.partition.rawValue
        let serial = SHA256.digest(of: signed.manifest).prefix(4).reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        do {
            return try FATVolume(
                .fat16, size: store.size, clusterSize: 4096, label: label, serial: serial, hiddenSectors: hiddenSectors,
                files: files)
        } catch { throw .volume(error) }
    }

    private func takeParts(_ bytes: ArraySlice<UInt8>, _ manifest: Manifest) throws(UpdateError) {
        var rest = bytes
        while part < manifest.parts.count {
            let current = manifest.parts[part]
            let taken = rest.prefix(Int(min(current.size - partDone, UInt64(rest.count))))
            if !taken.isEmpty {
                let piece = Array(taken)
                hash.update(piece)
                if isChecked {
                    guard let start = volume?.contents[current.name] else { throw .over }
                    try onDisk { () throws(SystemError) in try store.write(piece, at: start + partDone) }
                }
                partDone += UInt64(piece.count)
                rest = rest.dropFirst(piece.count)
            }
            guard partDone == current.size else { return }
            guard hash.digest() == current.hash else { throw .damagedPart(current.name) }
            if isChecked {
                checks.append(
                    Check(
                        what: current.name, offset: volume?.contents[current.name] ?? 0, count: current.size,
                        digest: current.hash))
            }
            part += 1
            partDone = 0
            hash = SHA256()
        }
    }

    /// All of the bundle has come twice: what was written is made safe, and can be read back.
    public func finishWriting() throws(UpdateError) {
        guard !isBroken, isChecked, let manifest, received == size, part == manifest.parts.count else {
            throw .bundle(.cutShort)
        }
        try onDisk { () throws(SystemError) in try store.flush() }
        store.dropCache()
        hash = SHA256()
    }

    /// Reads some of the bank back and compares.
    ///
    /// - Returns: whether more is to be read.
    public func verifyStep() throws(UpdateError) -> Bool {
        guard let check = checks.first else { return false }
        let count = min(check.count - partDone, Self.step)
        var bytes: [UInt8] = []
        try onDisk { () throws(SystemError) in bytes = try store.read(Int(count), at: check.offset + partDone) }
        hash.update(bytes)
        partDone += count
        if partDone == check.count {
            guard hash.digest() == check.digest else { throw .notKept(check.what) }
            checks.removeFirst()
            partDone = 0
            hash = SHA256()
        }
        return !checks.isEmpty
    }

    /// Makes the bank one that can be started, and puts it on trial. After all of it was read back.
    public func activate() throws(UpdateError) {
        guard !isBroken, isChecked, checks.isEmpty, received == size else { throw .over }
        isBroken = true
        var back: [UInt8] = []
        try onDisk { () throws(SystemError) in
            try store.write(bootHead, at: 0)
            try store.flush()
            store.dropCache()
            back = try store.read(Self.headSize, at: 0)
        }
        guard back == bootHead else { throw .notKept("the file system") }
        do {
            try environment.change { variables in
                variables["next"] = bank.rawValue
                variables["trial"] = "\(BootBanks.trials)"
            }
        } catch { throw .environment(error) }
    }

    /// Writes what is not a part, all but the bank's head, which is kept for later.
    private func write(_ bytes: [UInt8], at offset: UInt64, _ what: String) throws(UpdateError) {
        let skipped = offset < UInt64(Self.headSize) ? min(Self.headSize - Int(offset), bytes.count) : 0
        if skipped > 0 {
            if bootHead.isEmpty { bootHead = [UInt8](repeating: 0, count: Self.headSize) }
            bootHead.replaceSubrange(Int(offset)..<Int(offset) + skipped, with: bytes[..<skipped])
        }
        let rest = Array(bytes[skipped...])
        if rest.isEmpty { return }
        let place = offset + UInt64(skipped)
        try onDisk { () throws(SystemError) in try store.write(rest, at: place) }
        checks.append(Check(what: what, offset: place, count: UInt64(rest.count), digest: SHA256.digest(of: rest)))
    }

    private func onDisk(_ body: () throws(SystemError) -> Void) throws(UpdateError) {
        do { try body() } catch { throw .disk(error) }
    }
}
