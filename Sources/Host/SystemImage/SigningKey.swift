import Linux
import Signatures

/// The key that images are signed with: a file with its seed as 64 hexadecimal digits, and beside it, named `.pub`, the public
/// key in the same form.
public struct SigningKey: Sendable {
    let secret: Ed25519.SecretKey

    /// Reads the file with the seed.
    public init(_ path: String) throws(ImageError) {
        let text = String(decoding: try content(of: path), as: UTF8.self)
        guard let line = text.split(separator: "\n").first, let seed = Hexadecimal.bytes(line),
            let secret = Ed25519.SecretKey(seed: seed)
        else { throw .key("\(path) is no signing key") }
        self.secret = secret
    }

    /// The file with the public key: what a host trusts.
    var publicFile: [UInt8] { Array("\(Hexadecimal.text(secret.publicKey.bytes))\n".utf8) }

    /// Makes a new key. A file that is there is not touched.
    public static func generate(_ path: String) throws(ImageError) {
        do throws(SystemError) {
            let seed = try Random.bytes(Ed25519.SecretKey.seedSize)
            let file = try Descriptor(opening: path, [.writeOnly, .create, .exclusive], permissions: 0o600)
            try file.write(Array("\(Hexadecimal.text(seed))\n".utf8), at: 0, path)
        } catch { throw .system(error) }
        let key = try SigningKey(path)
        try describingFailure { () throws(SystemError) in try Files.replace("\(path).pub", with: key.publicFile) }
    }
}
