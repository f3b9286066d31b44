public import BlockStore
public import BootMedium
public import FAT
public import Signatures

/// Looks whether everything in a boot bank is as its signed manifest says, piece by piece. Reads only. For one thread.
public final class BankCheck {
    /// How much is read in one step.
    private static let step: UInt64 = 1 << 20

    /// What the bank holds; its signature is good.
    public let manifest: Manifest

    private let store: any BlockStore
    /// What is still to be read, the next one last.
    private var pieces: [Piece] = []
    private var hash = SHA256()

    /// A stretch of a part.
    private struct Piece {
        var offset: UInt64
        var count: UInt64
        /// Set for the part's last piece.
        var end: Manifest.Part?
    }

    /// Reads the manifest and finds the parts.
    public init(_ store: any BlockStore, trusted: [Ed25519.PublicKey]) throws(BankDefect) {
        self.store = store
        let reader: FATReader
        let text: [UInt8]
        let signature: [UInt8]
        do throws(FATReadError) {
            reader = try FATReader(store)
            text = try reader.contents(Manifest.fileName, limit: Manifest.sizeMax)
            signature = try reader.contents(Manifest.signatureFileName, limit: Ed25519.signatureSize)
        } catch { throw .file(error) }
        guard trusted.contains(where: { $0.verifies(signature, of: text) }) else { throw .wrongSignature }
        do { manifest = try Manifest(parsing: text) } catch { throw .manifest(error) }
        for part in manifest.parts { pieces += try Self.pieces(of: part, reader) }
        pieces.reverse()
    }

    private static func pieces(of part: Manifest.Part, _ reader: FATReader) throws(BankDefect) -> [Piece] {
        let stretches: [FATReader.Stretch]
        do throws(FATReadError) {
            let entry = try reader.entry(part.name)
            // Another length is another file; the check of the hash says so.
            stretches = try reader.stretches(of: entry, part.name)
        } catch { throw .file(error) }
        var pieces: [Piece] = []
        for stretch in stretches {
            for start in stride(from: 0, to: stretch.count, by: Int(step)) {
                pieces.append(Piece(offset: stretch.offset + start, count: min(step, stretch.count - start)))
            }
        }
        guard !pieces.isEmpty else { throw .damagedPart(part.name) }
        pieces[pieces.count - 1].end = part
        return pieces
    }

    /// Reads some more.
    ///
    /// - Returns: whether there is still more.
    public func advance() throws(BankDefect) -> Bool {
        guard let piece = pieces.popLast() else { return false }
        do { hash.update(try store.read(Int(piece.count), at: piece.offset)) } catch { throw .file(.unreadable(error)) }
        if let part = piece.end {
            guard hash.digest() == part.hash else { throw .damagedPart(part.name) }
            hash = SHA256()
        }
        return !pieces.isEmpty
    }
}

/// Why a boot bank is not whole.
public enum BankDefect: Error, Equatable, Sendable, CustomStringConvertible {
    case file(FATReadError)
    case wrongSignature
    case manifest(ManifestError)
    case damagedPart(String)

    public var description: String {
        switch self {
        case .file(let error): "\(error)"
        case .wrongSignature: "its manifest is damaged, or not signed with a key that this host trusts"
        case .manifest(let error): "\(error)"
        case .damagedPart(let name): "\(name) is damaged"
        }
    }
}
