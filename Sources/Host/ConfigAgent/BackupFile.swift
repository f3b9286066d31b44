import HostModel
import Signatures

/// A host's settings as one file: a line of what it is, a line with the checksum of the rest, then the settings as text.
///
///     wafer-backup 1
///     sha256 248d6a61…
///     hostName = "web"
///
/// The checksum is against damage, not against people: who may restore may set everything anyhow.
enum BackupFile {
    private static let firstLine = "wafer-backup 1\n"
    private static let checksumName = "sha256 "
    /// Bytes before the settings.
    private static let headSize = firstLine.utf8.count + checksumName.utf8.count + 2 * SHA256.size + 1

    static func make(_ text: String) -> [UInt8] {
        let bytes = Array(text.utf8)
        return Array((firstLine + checksumName + Hexadecimal.text(SHA256.digest(of: bytes)) + "\n").utf8) + bytes
    }

    /// - Returns: the settings' text.
    static func read(_ file: [UInt8]) throws(BackupFileError) -> String {
        guard file.starts(with: firstLine.utf8) else { throw .notABackup }
        guard file.count >= headSize, file.count <= headSize + SettingsText.bytesMax else { throw .damaged }
        let text = Array(file[headSize...])
        guard file == make(String(decoding: text, as: UTF8.self)) else { throw .damaged }
        return String(decoding: text, as: UTF8.self)
    }
}

enum BackupFileError: Error, Equatable, CustomStringConvertible {
    case notABackup
    case damaged

    var description: String {
        switch self {
        case .notABackup: "this is not a backup of a Wafer host, or one of a later form"
        case .damaged: "the backup is damaged"
        }
    }
}
