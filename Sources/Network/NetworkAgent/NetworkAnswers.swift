import Addresses
import DNSMessages
import HostLink
import HostModel
import Linux
import NetworkService
import Resolver
import VSwitch

/// Answers the calls of `NetworkService`.
final class NetworkAnswers {
    private let manager: NetworkManager
    private let server: ServiceServer
    private let trials: TrialKeeper
    private var lastStatus: NetworkStatus?
    /// Somebody has asked for events once: before that nobody need know what has changed.
    private var isWatched = false
    /// Work that goes on; kept until it is done.
    private var resolving: [UInt64: ResolverRequest] = [:]
    private var pinging: [UInt64: PingRequest] = [:]
    private var number: UInt64 = 0
    /// At most so many at once: each holds descriptors.
    private static let workMax = 64

    init(_ manager: NetworkManager, _ trials: TrialKeeper, path: String) throws(SystemError) {
        self.manager = manager
        self.trials = trials
        server = try ServiceServer(path: path, on: manager.loop)
        server.on(GetNetworkStatus.self) { [unowned self] (_, _) throws(ServiceError.Refusal) in status }
        server.on(WatchNetworkStatus.self) { [unowned self] (_, peer) throws(ServiceError.Refusal) in
            peer.wantsEvents = true
            isWatched = true
            return status
        }
        server.on(RenewLeases.self) { (_, _) throws(ServiceError.Refusal) in
            for port in manager.ports.values { port.renew() }
            return Done()
        }
        server.on(RestartManagement.self) { (_, _) throws(ServiceError.Refusal) in
            for port in manager.ports.values where port.settings.isManagement { port.restart() }
            manager.reconcile()
            return Done()
        }
        server.on(ConnectPort.self) { [unowned self] (call, _) throws(ServiceError.Refusal) in try connect(call) }
        server.on(DisconnectPort.self) { [unowned self] (call, _) throws(ServiceError.Refusal) in
            try checkTap(call.tap)
            try attempt { () throws(SystemError) in try manager.connect(call.tap, to: nil) }
            return Done()
        }
        server.on(BeginTrial.self) { (call, _) throws(ServiceError.Refusal) in
            guard let settings = manager.settings else {
                throw .init(.badState, "the network agent has no settings yet")
            }
            trials.begin(settings.network, seconds: call.seconds)
            return Done()
        }
        server.on(ConfirmTrial.self) { (_, _) throws(ServiceError.Refusal) in
            guard trials.confirm() else { throw .init(.badState, "no network settings are on trial") }
            return Done()
        }
        server.later(Resolve.self) { [unowned self] call, reply in resolve(call, reply) }
        server.later(Ping.self) { [unowned self] call, reply in ping(call, reply) }
        manager.looked = { [weak self] in self?.announce() }
    }

    func close() { server.close() }

    private var status: NetworkStatus {
        var status = manager.status
        status.trialSecondsLeft = trials.secondsLeft
        return status
    }

    private func announce() {
        guard isWatched else { return }
        let status = status
        // What only counts down is no change.
        var compared = status
        for index in compared.vmknics.indices { compared.vmknics[index].leaseSecondsLeft = nil }
        compared.trialSecondsLeft = status.trialSecondsLeft.map { _ in 0 }
        guard compared != lastStatus else { return }
        lastStatus = compared
        server.announce(NetworkEvent.statusChanged, status)
    }

    // MARK: Ports

    private func attempt(_ step: () throws(SystemError) -> Void) throws(ServiceError.Refusal) {
        do { try step() } catch { throw .init(.failed, "\(error)") }
    }

    /// Only taps are connected: nobody can ask for an adapter or another's link to be moved.
    private func checkTap(_ name: String) throws(ServiceError.Refusal) {
        var link: NetworkLink?
        try attempt { () throws(SystemError) in
            var network = try NetworkConfiguration()
            link = try network.links().first { $0.name == name }
        }
        guard let link else { throw .init(.notFound, "there is no tap \(name)") }
        guard link.kind == "tun" else { throw .init(.invalid, "\(name) is not a virtual machine's tap") }
    }

    private func connect(_ call: ConnectPort) throws(ServiceError.Refusal) -> Done {
        guard manager.effective.portGroups.contains(where: { $0.name == call.portGroup }) else {
            throw .init(.notFound, "there is no port group \"\(call.portGroup)\"")
        }
        try checkTap(call.tap)
        try attempt { () throws(SystemError) in try manager.connect(call.tap, to: call.portGroup) }
        guard manager.actual.link(call.tap).map({ $0.master != 0 }) == true else {
            throw .init(.failed, manager.problems.first ?? "\(call.tap) could not be connected to \(call.portGroup)")
        }
        return Done()
    }

    // MARK: Names

    /// Finds what a name stands for; `then` gets a sentence if nothing.
    private func find(
        _ lookup: () throws(LookupError) -> Lookup,
        _ then: @escaping (Result<[DNSAnswer.Value], ServiceError.Refusal>) -> Void
    ) {
        guard resolving.count < Self.workMax else {
            return then(.failure(.init(.busy, "too many names are being looked up")))
        }
        number += 1
        let number = number
        do {
            let lookup = try lookup()
            resolving[number] = try ResolverRequest(lookup, on: manager.loop) { [weak self] result in
                self?.resolving[number] = nil
                then(
                    result.mapError { error in
                        if case .notFound = error { return .init(.notFound, "\(error)") }
                        return .init(.failed, "\(error)")
                    })
            }
        } catch let error as LookupError { then(.failure(.init(.invalid, "\(error)"))) } catch {
            then(.failure(.init(.failed, "\(error)")))
        }
    }

    private func resolve(_ call: Resolve, _ reply: ServiceReply) {
        if let local = LocalNames.addresses(of: call.name) { return reply.answer(local.map(\.text)) }
        let settings = manager.resolverSettings
        find { () throws(LookupError) in
            if let address = IPv4Address(call.name) { return try Lookup(nameOf: address, settings) }
            if let address = IPv6Address(call.name) { return try Lookup(nameOf: address, settings) }
            return try Lookup(call.name, .addresses, settings)
        } _: { result in
            switch result {
            case .success(let values): reply.answer(values.map(\.text))
            case .failure(let refusal): reply.refuse(refusal)
            }
        }
    }

    private func ping(_ call: Ping, _ reply: ServiceReply) {
        if let address = IPv4Address(call.target) { return ping(.ipv4(address), call, reply) }
        if let address = IPv6Address(call.target) { return ping(.ipv6(address), call, reply) }
        if let local = LocalNames.addresses(of: call.target)?.first { return ping(local, call, reply) }
        let settings = manager.resolverSettings
        find { () throws(LookupError) in
            try Lookup(call.target, .ipv4Addresses, settings)
        } _: { [weak self] result in
            switch result {
            case .success(let values): if let first = values.first { self?.ping(first, call, reply) }
            case .failure(let refusal): reply.refuse(refusal)
            }
        }
    }

    private func ping(_ target: DNSAnswer.Value, _ call: Ping, _ reply: ServiceReply) {
        guard pinging.count < Self.workMax else { return reply.refuse(.init(.busy, "too many pings are under way")) }
        number += 1
        let number = number
        let scope = manager.ports.values.first { $0.settings.isManagement }?.link.index ?? 0
        do {
            pinging[number] = try PingRequest(
                target, scope: scope, count: call.count, milliseconds: call.milliseconds, on: manager.loop
            ) { [weak self] result in
                self?.pinging[number] = nil
                reply.answer(result)
            }
        } catch { reply.refuse(.init(.failed, "\(error)")) }
    }
}

extension DNSAnswer.Value {
    /// An address or a name, as people write it.
    var text: String {
        switch self {
        case .ipv4(let address): "\(address)"
        case .ipv6(let address): "\(address)"
        case .name(let name): "\(name)"
        }
    }
}
