/// The variables that boot loader and host leave for one another in a file on the EFI system partition: GRUB's environment block
/// (GRUB: include/grub/lib/envblk.h, grub-core/lib/envblk.c).
///
/// GRUB writes this file by the sectors that it found it in. Whoever changes it overwrites it in place, with the same length. What the
/// variables mean: docs/formats/boot-environment.md.
public struct BootEnvironment: Equatable, Sendable {
    /// The file's length in bytes, always.
    public static let size = 1024
    /// The file on the EFI system partition.
    public static let path = "grub/grubenv"

    private static let signature = Array("# GRUB Environment Block\n".utf8)
    private static let filling = UInt8(ascii: "#")
    private static let backslash = UInt8(ascii: "\\")

    /// In the order of the file.
    private var variables: [(name: String, value: String)] = []

    public init() {}

    /// Reads the file. Lines that are no variables are left out, as GRUB does.
    public init(parsing bytes: [UInt8]) throws(BootEnvironmentError) {
        guard bytes.count == Self.size, bytes.starts(with: Self.signature) else { throw .notAnEnvironment }
        var line: [UInt8] = []
        var isEscaped = false
        for byte in bytes.dropFirst(Self.signature.count) {
            if isEscaped {
                line.append(byte)
                isEscaped = false
            } else if byte == Self.backslash {
                isEscaped = true
            } else if byte == 10 {
                take(line)
                line.removeAll()
            } else {
                line.append(byte)
            }
        }
    }

    private mutating func take(_ line: [UInt8]) {
        guard line.first != Self.filling, let equals = line.firstIndex(of: UInt8(ascii: "=")), equals > 0,
            line[..<equals].allSatisfy(Self.isName)
        else { return }
        let name = String(decoding: line[..<equals], as: UTF8.self)
        self[name] = String(decoding: line[(equals + 1)...], as: UTF8.self)
    }

    /// Whether a byte may stand in a variable's name, which is written without escapes.
    private static func isName(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
            true
        default: false
        }
    }

    /// A variable; nil if it is not there, and to take it away.
    public subscript(name: String) -> String? {
        get { variables.first { $0.name == name }?.value }
        set {
            let index = variables.firstIndex { $0.name == name }
            switch (index, newValue) {
            case (let index?, let value?): variables[index].value = value
            case (let index?, nil): variables.remove(at: index)
            case (nil, let value?): variables.append((name, value))
            case (nil, nil): break
            }
        }
    }

    /// The file's bytes.
    public func bytes() throws(BootEnvironmentError) -> [UInt8] {
        var bytes = Self.signature
        for (name, value) in variables {
            bytes += Array(name.utf8) + [UInt8(ascii: "=")]
            for byte in value.utf8 {
                if byte == 10 || byte == Self.backslash { bytes.append(Self.backslash) }
                bytes.append(byte)
            }
            bytes.append(10)
        }
        guard bytes.count <= Self.size else { throw .tooLong }
        return bytes + [UInt8](repeating: Self.filling, count: Self.size - bytes.count)
    }

    public static func == (left: BootEnvironment, right: BootEnvironment) -> Bool {
        left.variables.elementsEqual(right.variables) { $0.name == $1.name && $0.value == $1.value }
    }
}

/// Why a boot environment cannot be read or written.
public enum BootEnvironmentError: Error, Equatable, Sendable, CustomStringConvertible {
    case notAnEnvironment
    case tooLong

    public var description: String {
        switch self {
        case .notAnEnvironment: "the boot loader's environment is damaged"
        case .tooLong: "the boot loader's environment has no room for this"
        }
    }
}
