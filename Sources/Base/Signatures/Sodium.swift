import CSodium

/// Sets libsodium up once: it picks the code for this processor. Everything here touches it before its first call.
enum Sodium {
    static let isPrepared: Bool = sodium_init() >= 0
}

/// Whether two byte strings are the same, in a time that depends on their lengths only.
public func equalInConstantTime(_ left: [UInt8], _ right: [UInt8]) -> Bool {
    guard left.count == right.count else { return false }
    var difference: CInt = 0
    unsafe left.withUnsafeBytes { left in
        unsafe right.withUnsafeBytes { right in
            // Both have the same length; without bytes there is nothing to compare.
            guard let first = left.baseAddress, let second = right.baseAddress else { return }
            difference = unsafe sodium_memcmp(first, second, left.count)
        }
    }
    return difference == 0
}

/// Bytes as lower-case hexadecimal digits, and back.
public enum Hexadecimal {
    public static func text(_ bytes: some Sequence<UInt8>) -> String {
        var digits: [UInt8] = []
        for byte in bytes {
            digits.append(digit(byte >> 4))
            digits.append(digit(byte & 15))
        }
        return String(decoding: digits, as: UTF8.self)
    }

    /// - Returns: nil unless the text is an even number of hexadecimal digits, of either case.
    public static func bytes(_ text: some StringProtocol) -> [UInt8]? {
        var bytes: [UInt8] = []
        var high: UInt8?
        for digit in text.utf8 {
            guard let value = value(digit) else { return nil }
            if let upper = high {
                bytes.append(upper << 4 | value)
                high = nil
            } else {
                high = value
            }
        }
        return high == nil ? bytes : nil
    }

    private static func digit(_ value: UInt8) -> UInt8 {
        value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10
    }

    private static func value(_ digit: UInt8) -> UInt8? {
        switch digit {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): digit - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
