/// A name of the domain name system (RFC 1035, section 3.1): labels, the root's empty one left out.
public struct DomainName: Hashable, Sendable, CustomStringConvertible {
    /// 1 to 63 bytes each, lower case: capitals do not matter (RFC 4343).
    public let labels: [String]

    /// A name with its length bytes and the root has at most 255 bytes.
    static let bytesMax = 255
    static let labelMax = 63

    /// Reads dotted text; a dot at the end makes no difference. nil if it cannot be a host's name: letters, digits, hyphens and
    /// underscores.
    public init?(_ text: some StringProtocol) {
        let text = text.hasSuffix(".") ? text.dropLast() : text[...]
        self.init(labels: text.split(separator: ".", omittingEmptySubsequences: false).map { $0.lowercased() })
    }

    /// - Returns: nil if a label or the whole has another length than allowed, or a character that no host's name has.
    init?(labels: [String]) {
        guard !labels.isEmpty, labels.reduce(1, { $0 + $1.utf8.count + 1 }) <= Self.bytesMax else { return nil }
        for label in labels {
            guard (1...Self.labelMax).contains(label.utf8.count), label.utf8.allSatisfy(Self.isAllowed) else {
                return nil
            }
        }
        self.labels = labels
    }

    private static func isAllowed(_ byte: UInt8) -> Bool {
        (97...122).contains(byte) || (48...57).contains(byte) || byte == 45 || byte == 95
    }

    public var description: String { labels.joined(separator: ".") }

    /// Length bytes and labels, and the root's zero.
    public var bytes: [UInt8] {
        labels.flatMap { [UInt8(truncatingIfNeeded: $0.utf8.count)] + Array($0.utf8) } + [0]
    }

    /// This name within a domain; nil if it gets too long.
    public func within(_ domain: DomainName) -> DomainName? { DomainName(labels: labels + domain.labels) }

    /// Reads a name out of a message (RFC 1035, section 4.1.4). A pointer leads only backwards, so none leads in circles.
    ///
    /// - Parameter offset: where the name begins; set to what follows it.
    /// - Returns: nil if there is none, or one that no host has. The root is no host's name.
    public static func read(_ message: [UInt8], at offset: inout Int) -> DomainName? {
        guard let labels = readLabels(message, at: &offset) else { return nil }
        return DomainName(labels: labels.map { String(decoding: $0, as: UTF8.self).lowercased() })
    }

    /// Steps over a name of any form.
    ///
    /// - Returns: false if there is none.
    static func skip(_ message: [UInt8], at offset: inout Int) -> Bool { readLabels(message, at: &offset) != nil }

    private static func readLabels(_ message: [UInt8], at offset: inout Int) -> [ArraySlice<UInt8>]? {
        var labels: [ArraySlice<UInt8>] = []
        var total = 1
        var position = offset
        var hasJumped = false
        // Each pointer must lead to before where the run of labels it ends began.
        var runStart = position
        while true {
            guard position >= 0, position < message.count else { return nil }
            let length = Int(message[position])
            switch length & 0xc0 {
            case 0:
                guard length > 0 else {
                    if !hasJumped { offset = position + 1 }
                    return labels
                }
                total += length + 1
                guard total <= bytesMax, message.count - position > length else { return nil }
                labels.append(message[(position + 1)...(position + length)])
                position += length + 1
            case 0xc0:
                guard message.count - position >= 2 else { return nil }
                let target = (length & 0x3f) << 8 | Int(message[position + 1])
                if !hasJumped { offset = position + 2 }
                hasJumped = true
                guard target < runStart else { return nil }
                position = target
                runStart = target
            default: return nil
            }
        }
    }
}
