public import Addresses
public import DNSMessages

/// Where names are looked up.
public struct ResolverSettings: Equatable, Sendable {
    /// In the order they are asked.
    public var servers: [IPv4Address]
    /// Domains that names without a dot are tried in, in order.
    public var searchDomains: [String]

    public init(servers: [IPv4Address] = [], searchDomains: [String] = []) {
        self.servers = servers
        self.searchDomains = searchDomains
    }
}

/// Why a name has no answer.
public enum LookupError: Error, Equatable, Sendable, CustomStringConvertible {
    case notAName(String)
    case noServers
    /// Servers say that there is no such name, or that it has nothing of the wanted kind.
    case notFound(String)
    /// No server answered, or none would.
    case noAnswer(String)

    public var description: String {
        switch self {
        case .notAName(let text): "\"\(text)\" is not a host's name"
        case .noServers: "no DNS servers are set"
        case .notFound(let name): "there is no host \(name)"
        case .noAnswer(let name): "no DNS server gave an answer about \(name)"
        }
    }
}

/// A search for what a name stands for: which question goes to which server, and when. Pure.
public struct Lookup: Sendable {
    /// What to ask for.
    public enum Wanted: Sendable {
        /// IPv4 addresses, then IPv6 addresses.
        case addresses
        /// Only IPv4 ones.
        case ipv4Addresses
    }

    public enum Action: Equatable, Sendable {
        /// Send to the server, and come back with its answer, or with nil after so many milliseconds or an error.
        case ask(DNSQuestion, IPv4Address, overTCP: Bool, milliseconds: Int)
        case done([DNSAnswer.Value])
        case failed(LookupError)
    }

    /// How long a server gets: longer from round to round.
    private static let patience = [2000, 4000]
    /// Other names in a row that are followed.
    private static let aliasesMax = 8

    private let text: String
    private let servers: [IPv4Address]
    private var names: [DomainName]
    private let types: [DNSRecordType]
    private var name = 0
    private var type = 0
    private var server = 0
    private var round = 0
    private var isOverTCP = false
    private var aliases = 0
    /// Where the present name leads.
    private var alias: DomainName?
    private var found: [DNSAnswer.Value] = []
    private var wasAnswered = false

    /// Looks for a host. Names with a dot are tried as they are first, others in the search domains first.
    public init(_ text: String, _ wanted: Wanted = .addresses, _ settings: ResolverSettings) throws(LookupError) {
        guard let name = DomainName(text) else { throw .notAName(text) }
        let domains = text.hasSuffix(".") ? [] : settings.searchDomains.compactMap { DomainName($0) }
        let longer = domains.prefix(16).compactMap { name.within($0) }
        names = name.labels.count > 1 ? [name] + longer : longer + [name]
        types = wanted == .addresses ? [.a, .aaaa] : [.a]
        self.text = text
        servers = settings.servers
        if servers.isEmpty { throw .noServers }
    }

    /// Looks for the names of an address.
    public init(nameOf address: IPv4Address, _ settings: ResolverSettings) throws(LookupError) {
        try self.init(.name(of: address), "\(address)", settings)
    }

    public init(nameOf address: IPv6Address, _ settings: ResolverSettings) throws(LookupError) {
        try self.init(.name(of: address), "\(address)", settings)
    }

    private init(_ question: DNSQuestion?, _ text: String, _ settings: ResolverSettings) throws(LookupError) {
        guard let question else { throw .notAName(text) }
        names = [question.name]
        types = [question.type]
        self.text = text
        servers = settings.servers
        if servers.isEmpty { throw .noServers }
    }

    /// What to do first.
    public func start() -> Action { ask() }

    private func ask() -> Action {
        .ask(
            DNSQuestion(alias ?? names[name], types[type]), servers[server], overTCP: isOverTCP,
            milliseconds: Self.patience[round])
    }

    /// Takes what came of a question; nil: nothing.
    public mutating func answered(_ answer: DNSAnswer?) -> Action {
        guard let answer else { return nextServer() }
        if answer.isTruncated, !isOverTCP {
            isOverTCP = true
            return ask()
        }
        switch answer.code {
        case .noError:
            wasAnswered = true
            found += answer.values
            if let next = answer.canonicalName, aliases < Self.aliasesMax {
                aliases += 1
                alias = next
                isOverTCP = false
                return ask()
            }
            return nextType()
        case .nameError:
            wasAnswered = true
            return found.isEmpty ? nextName() : .done(unique(found))
        case .formatError, .serverFailure, .notImplemented, .refused, .other: return nextServer()
        }
    }

    private mutating func nextServer() -> Action {
        isOverTCP = false
        server += 1
        if server == servers.count {
            server = 0
            round += 1
        }
        if round < Self.patience.count { return ask() }
        // What one kind of record brought is worth more than waiting for the other kind.
        if !found.isEmpty { return .done(unique(found)) }
        return .failed(wasAnswered ? .notFound(text) : .noAnswer(text))
    }

    private mutating func nextType() -> Action {
        begin()
        type += 1
        if type < types.count { return ask() }
        return found.isEmpty ? nextName() : .done(unique(found))
    }

    private mutating func nextName() -> Action {
        begin()
        type = 0
        name += 1
        return name < names.count ? ask() : .failed(.notFound(text))
    }

    /// A new question begins with the server that answered last.
    private mutating func begin() {
        isOverTCP = false
        alias = nil
        aliases = 0
        round = 0
    }

    private func unique(_ values: [DNSAnswer.Value]) -> [DNSAnswer.Value] {
        var seen: Set<DNSAnswer.Value> = []
        return values.filter { seen.insert($0).inserted }
    }
}

/// Names that need no server (RFC 6761, section 6.3).
public enum LocalNames {
    public static func addresses(of name: String) -> [DNSAnswer.Value]? {
        guard let name = DomainName(name), name.labels.last == "localhost" else { return nil }
        return [.ipv4(IPv4Address(127, 0, 0, 1))]
    }
}
