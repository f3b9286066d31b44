/// Answers what tools in the guest ask and say over an RPCI channel: commands in words, answered by "1 …" where they are
/// carried out and "0 …" where not (open-vm-tools, `lib/rpcOut/rpcout.c`).
///
/// What the guest says is kept, so far as it is bounded, for people and for the guest itself; nothing is believed.
struct ToolsEndpoint: Sendable {
    /// Bytes of a text that the guest says about itself.
    static let textMax = 255
    /// How many `guestinfo` variables the guest has, and how long names and values are together.
    static let variablesMax = 128
    static let variableBytesMax = 128 << 10
    static let nameMax = 128

    /// The number of the first and the second value of `SetGuestInfo` (`lib/include/guestInfoType.h`).
    private enum Information {
        static let hostName = 1
        static let systemName = 5
    }

    /// What the guest has said about itself.
    var report = ToolsReport()
    /// By their names without `guestinfo.`, in small letters.
    private var variables: [String: [UInt8]] = [:]
    private var variableBytes = 0
    private let initial: [String: [UInt8]]
    /// What the guest wants in the machine's log; taken by who has the log.
    var logged: String?

    /// - Parameter variables: what the machine's file says of `guestinfo.…`, by names without that.
    init(variables: [String: String]) {
        var initial: [String: [UInt8]] = [:]
        for (name, value) in variables { initial[name.lowercased()] = Array(value.utf8) }
        self.initial = initial
        reset()
    }

    /// Forgets what the guest said: another one starts.
    mutating func reset() {
        report = ToolsReport()
        variables = initial
        variableBytes = initial.reduce(0) { $0 + $1.key.utf8.count + $1.value.count }
        logged = nil
    }

    private static let done = Array("1 ".utf8)
    private static func refused(_ reason: String) -> [UInt8] { Array("0 \(reason)".utf8) }

    /// Carries out one request.
    mutating func answer(_ message: [UInt8]) -> [UInt8] {
        var rest = message[...]
        while rest.last == 0 { rest.removeLast() }
        let command = word(&rest)
        switch command {
        case "info-set": return setVariable(&rest)
        case "info-get": return variable(&rest)
        case "SetGuestInfo": return setInformation(&rest)
        case "tools.set.version", "tools.set.versiontype":
            guard let version = UInt32(word(&rest)) else { return Self.refused("Not a version") }
            report.version = version
            return Self.done
        case "log":
            logged = text(rest)
            return Self.done
        case "vmx.capability.unified_loop", "tools.os.statechange.status", "vmx.set_option": return Self.done
        case _ where command.hasPrefix("tools.capability."): return Self.done
        default: return Self.refused("Unknown command")
        }
    }

    // MARK: Words

    /// The bytes up to the next space; what is longer than any command is none.
    private func word(_ rest: inout ArraySlice<UInt8>) -> String {
        rest = rest.drop { $0 == UInt8(ascii: " ") }
        let word = rest.prefix { $0 != UInt8(ascii: " ") }
        rest = rest[word.endIndex...].dropFirst()
        return word.count <= Self.nameMax + 16 ? String(decoding: word, as: UTF8.self) : ""
    }

    /// A text for people: bounded, and of printable characters.
    private func text(_ bytes: ArraySlice<UInt8>) -> String {
        let text = String(decoding: bytes.prefix(Self.textMax), as: UTF8.self)
        return String(String.UnicodeScalarView(text.unicodeScalars.map { $0.properties.isPrintable ? $0 : "?" }))
    }

    // MARK: Variables

    private static let prefix = "guestinfo."

    /// A variable's name without the prefix; nil if it is not one.
    private func name(_ word: String) -> String? {
        let word = word.lowercased()
        guard word.hasPrefix(Self.prefix), word.utf8.count <= Self.nameMax else { return nil }
        return String(word.dropFirst(Self.prefix.count))
    }

    private func variable(_ rest: inout ArraySlice<UInt8>) -> [UInt8] {
        guard let name = name(word(&rest)), let value = variables[name] else { return Self.refused("No value found") }
        return Self.done + value
    }

    private mutating func setVariable(_ rest: inout ArraySlice<UInt8>) -> [UInt8] {
        guard let name = name(word(&rest)) else { return Self.refused("Not a guestinfo variable") }
        let former = variables[name].map { $0.count + name.utf8.count } ?? 0
        let size = variableBytes - former + name.utf8.count + rest.count
        guard size <= Self.variableBytesMax, former != 0 || variables.count < Self.variablesMax else {
            return Self.refused("Too many or too long variables")
        }
        variables[name] = Array(rest)
        variableBytes = size
        if name == "ip" { report.address = text(rest) }
        return Self.done
    }

    private mutating func setInformation(_ rest: inout ArraySlice<UInt8>) -> [UInt8] {
        guard let kind = Int(word(&rest)) else { return Self.refused("Not a kind of information") }
        switch kind {
        case Information.hostName: report.hostName = text(rest)
        case Information.systemName: report.systemName = text(rest)
        // Disks, network cards, uptime and the like: heard, not kept.
        default: break
        }
        return Self.done
    }
}

/// What a guest says about itself through its tools. A guest's word: bounded and printable, nothing more.
public struct ToolsReport: Equatable, Sendable {
    /// As tools count: 1024 times the major version, 32 times the minor one, and the third (12.1.5 is 12325).
    public var version: UInt32?
    public var address = ""
    public var hostName = ""
    /// The guest's system in words.
    public var systemName = ""
    /// How long ago the guest was heard, in milliseconds; nil if its tools do not run.
    public var heartbeatAge: UInt64?

    public init() {}

    /// The version as people write it; nil if the guest did not say.
    public var versionText: String? { version.map { "\($0 / 1024).\($0 / 32 % 32).\($0 % 32)" } }
}

extension Unicode.Scalar.Properties {
    fileprivate var isPrintable: Bool {
        switch generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator: false
        default: true
        }
    }
}
