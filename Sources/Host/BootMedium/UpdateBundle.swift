import Bytes
import Signatures

/// The beginning of an update bundle: a header, the manifest and its signature. After it come the manifest's parts in its order,
/// each of exactly its size, and nothing else. Format: docs/formats/update-bundle.md.
///
/// Whoever installs a bundle reads this much, verifies the signature over `manifest`, and only then reads on.
public struct UpdateBundle: Equatable, Sendable {
    /// `WAFERUPD`, a version, and the lengths of manifest and signature.
    public static let headerSize = 24
    /// An Ed25519 signature (RFC 8032, section 5.1.6).
    public static let signatureSize = Ed25519.signatureSize

    private static let magic = Array("WAFERUPD".utf8)
    private static let version: UInt32 = 1

    /// The manifest's bytes as they are signed.
    public var manifest: [UInt8]
    /// The signature over them.
    public var signature: [UInt8]

    public init(manifest: [UInt8], signature: [UInt8]) {
        self.manifest = manifest
        self.signature = signature
    }

    /// The bytes that stand before the first part.
    public var bytes: [UInt8] {
        var writer = ByteWriter()
        writer.append(Self.magic)
        writer.little(Self.version)
        writer.little(UInt32(manifest.count))
        writer.little(UInt32(signature.count))
        writer.little(UInt32(0))
        writer.append(manifest)
        writer.append(signature)
        return writer.bytes
    }

    /// How many bytes follow the header before the first part.
    ///
    /// - Parameter header: the first `headerSize` bytes.
    public static func lengthAfterHeader(_ header: [UInt8]) throws(UpdateBundleError) -> Int {
        let (manifest, signature) = try lengths(header)
        return manifest + signature
    }

    /// - Parameter bytes: the header and as many bytes more as `lengthAfterHeader` says; what follows is not looked at.
    public init(parsing bytes: [UInt8]) throws(UpdateBundleError) {
        let (manifest, signature) = try Self.lengths(bytes)
        let start = Self.headerSize
        guard bytes.count >= start + manifest + signature else { throw .cutShort }
        self.manifest = Array(bytes[start..<(start + manifest)])
        self.signature = Array(bytes[(start + manifest)..<(start + manifest + signature)])
    }

    private static func lengths(_ bytes: [UInt8]) throws(UpdateBundleError) -> (manifest: Int, signature: Int) {
        var reader = ByteReader(bytes.span)
        let found: [UInt8]
        let numbers: [UInt32]
        do throws(OutOfBounds) {
            found = try reader.array(magic.count)
            numbers = [try reader.little(), try reader.little(), try reader.little(), try reader.little()]
        } catch { throw .cutShort }
        guard found == magic else { throw .notABundle }
        guard numbers[0] == version else { throw .unknownVersion }
        let manifest = Int(numbers[1])
        guard (1...Manifest.sizeMax).contains(manifest), numbers[2] == UInt32(signatureSize), numbers[3] == 0 else {
            throw .damagedHeader
        }
        return (manifest, signatureSize)
    }
}

/// Why something is no update bundle.
public enum UpdateBundleError: Error, Equatable, Sendable, CustomStringConvertible {
    case notABundle
    case unknownVersion
    case damagedHeader
    case cutShort

    public var description: String {
        switch self {
        case .notABundle: "this is no update of Wafer"
        case .unknownVersion: "the update is of a format that this version does not know"
        case .damagedHeader: "the update's header is damaged"
        case .cutShort: "the update ends too early"
        }
    }
}
