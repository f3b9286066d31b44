import BootBanks
import BootMedium
import ConfigService
import HostLink
import Linux
import Signatures

/// Answers the configuration service's questions. On its loop's thread.
final class ConfigServer: @unchecked Sendable {
    // @unchecked: everything belongs to the loop's thread.

    /// What the host was found to have.
    struct Host {
        var settings: SettingsStore
        /// nil if there is no boot medium.
        var banks: BootBanks?
        var trusted: [Ed25519.PublicKey]
        /// Who may ask besides root.
        var users: Set<UInt32>
        /// Whom to ask for power: PID 1.
        var initProcess: Int32
    }

    private let host: Host
    private let loop: EventLoop
    private let server: ServiceServer
    private var update: (peer: ServicePeer, work: BankUpdate)?
    /// The update under way is being read back; whoever asked for that waits for this answer.
    private var finishing: ServiceReply?
    /// Whoever said that this boot is well waits for this answer, which comes when all of the bank on trial was read.
    private var confirming: (reply: ServiceReply, check: BankCheck?)?

    init(_ host: Host, path: String, on loop: EventLoop) throws(SystemError) {
        self.host = host
        self.loop = loop
        // The kernel says who asks; others than root can only connect if the file lets them.
        server = try ServiceServer(path: path, permissions: host.users.isEmpty ? 0o600 : 0o666, on: loop)
        server.peerClosed = { [weak self] peer in self?.peerClosed(peer) }
        answerSettings()
        answerBanks()
    }

    func close() { server.close() }

    /// `ServiceServer.on`, for those who may.
    private func on<Call: ServiceCall>(
        _ type: Call.Type, _ answer: @escaping (Call, ServicePeer) throws(ServiceError.Refusal) -> Call.Answer
    ) {
        server.on(type) { [weak self] (call, peer) throws(ServiceError.Refusal) in
            guard let self, self.allows(peer) else { throw Self.denied }
            return try answer(call, peer)
        }
    }

    /// `ServiceServer.later`, for those who may; a refusal that is thrown is the answer.
    private func later<Call: ServiceCall>(
        _ type: Call.Type, _ begin: @escaping (Call, ServiceReply) throws(ServiceError.Refusal) -> Void
    ) {
        server.later(type) { [weak self] call, reply in
            do throws(ServiceError.Refusal) {
                guard let self, self.allows(reply.peer) else { throw Self.denied }
                try begin(call, reply)
            } catch { reply.refuse(error) }
        }
    }

    private static let denied = ServiceError.Refusal(.denied, "only the host's own agents may ask this")

    private func allows(_ peer: ServicePeer) -> Bool {
        let user = peer.credentials.user
        return user == 0 || user == processUser() || host.users.contains(user)
    }

    // MARK: Settings

    private func answerSettings() {
        let settings = host.settings
        on(GetSettings.self) { _, _ in settings.state }
        on(WatchSettings.self) { _, peer in
            peer.wantsEvents = true
            return settings.state
        }
        on(SetSettings.self) { [unowned self] (call, _) throws(ServiceError.Refusal) in
            try self.change { () throws(ServiceError.Refusal) in try settings.set(call.text, base: call.base) }
        }
        on(Restore.self) { [unowned self] (call, _) throws(ServiceError.Refusal) in
            try self.change { () throws(ServiceError.Refusal) in try settings.restore(call.file.bytes) }
        }
        on(FactoryReset.self) { [unowned self] (_, _) throws(ServiceError.Refusal) in
            try self.change { () throws(ServiceError.Refusal) in try settings.reset() }
        }
        on(Backup.self) { _, _ in FileBytes(settings.backup()) }
        on(Power.self) { [unowned self] call, _ in
            // PID 1's words: SIGUSR2 is off, SIGINT is restart.
            Child.signal(self.host.initProcess, call.action == .off ? 12 : 2)
            return Done()
        }
    }

    /// What became of a trial is in the log, and on the console as long as this host runs if it did not go well.
    private func report(_ outcome: BootOutcome) {
        switch outcome {
        case .usual: return
        case .confirmed: break
        case .trialFailed, .fellBack, .environmentRepaired:
            let text = outcome.description
            if !host.settings.warnings.contains(text) { host.settings.warnings.append(text) }
        }
        writeToStandardError("\(outcome)\n")
    }

    private func change(_ body: () throws(ServiceError.Refusal) -> Void) throws(ServiceError.Refusal) -> UInt64 {
        let before = host.settings.revision
        try body()
        if host.settings.revision != before {
            server.announce(ConfigService.settingsChanged, host.settings.state)
        }
        return host.settings.revision
    }

    // MARK: Banks

    private func answerBanks() {
        on(GetBanks.self) { [unowned self] (_, _) throws(ServiceError.Refusal) in
            let banks = try self.banks()
            do throws(LoaderEnvironmentError) { return BankStatus(try banks.status()) } catch {
                throw .init(.failed, "\(error)")
            }
        }
        later(ConfirmBoot.self) { [unowned self] (_, reply) throws(ServiceError.Refusal) in
            guard self.confirming == nil else { throw .init(.busy, "this boot is being confirmed") }
            guard let banks = self.host.banks else {
                return reply.answer("this host was not started from a boot bank")
            }
            do throws(BankDefect) {
                self.confirming = (reply, try banks.checkOfTrial(trusted: self.host.trusted))
            } catch { throw Self.refusal(error, banks) }
            self.confirm(banks)
        }
        on(BeginUpdate.self) { [unowned self] (call, peer) throws(ServiceError.Refusal) in
            guard self.update == nil else { throw .init(.busy, "another update is under way") }
            let banks = try self.banks()
            try self.refusing { () throws(UpdateError) in
                self.update = (peer, try banks.update(size: call.size, trusted: self.host.trusted))
            }
            return Done()
        }
        on(UpdateData.self) { [unowned self] (call, peer) throws(ServiceError.Refusal) in
            let work = try self.work(of: peer)
            try self.refusing { () throws(UpdateError) in try work.take(call.file.bytes) }
            return Done()
        }
        on(AbortUpdate.self) { [unowned self] (_, peer) throws(ServiceError.Refusal) in
            _ = try self.work(of: peer)
            self.update = nil
            return Done()
        }
        later(FinishUpdate.self) { [unowned self] (_, reply) throws(ServiceError.Refusal) in
            let work = try self.work(of: reply.peer)
            try self.refusing { () throws(UpdateError) in try work.finishWriting() }
            self.finishing = reply
            self.verify()
        }
    }

    /// Confirms the boot, once its bank was read piece by piece, so that others are answered in between.
    private func confirm(_ banks: BootBanks) {
        guard let (reply, check) = confirming else { return }
        do throws(BankDefect) {
            if let check, try check.advance() {
                return loop.perform { [weak self] in
                    if let self, let banks = self.host.banks { self.confirm(banks) }
                }
            }
            confirming = nil
        } catch {
            confirming = nil
            return reply.refuse(Self.refusal(error, banks))
        }
        do throws(LoaderEnvironmentError) {
            let outcome = try banks.confirm()
            report(outcome)
            reply.answer(outcome.description)
        } catch { reply.refuse(.init(.failed, "\(error)")) }
    }

    private static func refusal(_ defect: BankDefect, _ banks: BootBanks) -> ServiceError.Refusal {
        .init(.invalid, "bank \(banks.origin.bank?.rawValue ?? "") is not whole: \(defect)")
    }

    private func banks() throws(ServiceError.Refusal) -> BootBanks {
        guard let banks = host.banks else {
            throw .init(.notSupported, "this host was not started from a medium with boot banks")
        }
        return banks
    }

    private func work(of peer: ServicePeer) throws(ServiceError.Refusal) -> BankUpdate {
        guard let update, update.peer === peer, finishing == nil else {
            throw .init(.badState, "no update of yours is under way")
        }
        return update.work
    }

    /// Runs a step of an update; one that fails ends it.
    private func refusing(_ body: () throws(UpdateError) -> Void) throws(ServiceError.Refusal) {
        do throws(UpdateError) { try body() } catch {
            update = nil
            finishing = nil
            throw .init(error.isForeign ? .invalid : .failed, "\(error)")
        }
    }

    /// Reads the bank back piece by piece, so that others are answered in between.
    private func verify() {
        guard let reply = finishing, let work = update?.work else { return }
        do throws(ServiceError.Refusal) {
            var isMore = false
            try refusing { () throws(UpdateError) in
                isMore = try work.verifyStep()
                if !isMore { try work.activate() }
            }
            if isMore { return loop.perform { [weak self] in self?.verify() } }
            update = nil
            finishing = nil
            let version = work.manifest?.version ?? ""
            reply.answer("bank \(work.bank.rawValue) holds version \(version), which the next start tries")
        } catch { reply.refuse(error) }
    }

    private func peerClosed(_ peer: ServicePeer) {
        guard let update, update.peer === peer, finishing == nil else { return }
        self.update = nil
    }
}

extension BankStatus {
    init(_ status: BootBanks.Status) {
        self.init(
            running: status.running?.rawValue ?? "", standard: status.standard.rawValue,
            next: status.next?.rawValue ?? "", isTrial: status.isTrial,
            banks: status.contents.map { Bank(name: $0.bank.rawValue, version: $0.version, build: $0.build) })
    }
}

extension UpdateError {
    /// Whether what came is at fault, and not this host.
    var isForeign: Bool {
        switch self {
        case .tooLarge, .bundle, .wrongSignature, .manifest, .wrongSize, .damagedPart, .volume: true
        case .noBanks, .onTrial, .noTrustedKey, .disk, .notKept, .environment, .over: false
        }
    }
}
