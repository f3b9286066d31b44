import HostLink
import HostModel
import HostService
import Linux

/// The host agent's calls, at its socket.
final class HostServer {
    // Belongs to the loop's thread.

    typealias Refusal = ServiceError.Refusal

    private let server: ServiceServer
    private let keeper: MachineKeeper
    private let accounts: AccountDesk
    private let autostart: AutostartRunner
    private var stopping: StopAllRunner?
    private var stopWaiters: [([String]) -> Void] = []

    init(_ keeper: MachineKeeper, _ accounts: AccountDesk, _ autostart: AutostartRunner) throws(SystemError) {
        self.keeper = keeper
        self.accounts = accounts
        self.autostart = autostart
        try? FileSystem.makeDirectory(Files.directory(of: keeper.environment.socket))
        server = try ServiceServer(path: keeper.environment.socket, on: keeper.loop)
        keeper.announce = { [unowned self] in tell($0) }
        keeper.journal.announce = { [unowned self] in tell(.event($0)) }
        keeper.decided = { [unowned autostart] in autostart.decided($0) }
        keeper.machineEnded = { [unowned self] in stopping?.machineEnded($0) }
        answerMachineCalls()
        answerSettingsCalls()
        answerHostCalls()
    }

    /// Removes the socket.
    func close() { server.close() }

    private func tell(_ announcement: HostAnnouncement) {
        switch announcement {
        case .machine(let machine): server.announce(HostAnnouncement.machineKind, machine)
        case .removed(let file): server.announce(HostAnnouncement.removedKind, file)
        case .event(let event): server.announce(HostAnnouncement.eventKind, event)
        }
    }

    /// Who asks: the account behind the process at the other end.
    private func user(_ peer: ServicePeer) -> String {
        peer.credentials.user == 0 ? AccountDesk.root : "user \(peer.credentials.user)"
    }

    private func finish(_ reply: ServiceReply) -> (Refusal?) -> Void {
        { refusal in if let refusal { reply.refuse(refusal) } else { reply.answer(Done()) } }
    }

    private func answerMachineCalls() {
        server.on(ListMachines.self) { [unowned self] _, _ in keeper.inventory.sorted }
        server.later(MachineDetails.self) { [unowned self] call, reply in
            keeper.details(of: call.file) { result in
                switch result {
                case .success(let answer): reply.answer(answer)
                case .failure(let refusal): reply.refuse(refusal)
                }
            }
        }
        server.later(StartMachine.self) { [unowned self] call, reply in
            keeper.start(call.file, by: user(reply.peer), finish(reply))
        }
        server.later(StopMachine.self) { [unowned self] call, reply in
            keeper.stop(call.file, call.how, by: user(reply.peer), finish(reply))
        }
        server.later(AnswerQuestion.self) { [unowned self] call, reply in
            let who = user(reply.peer)
            keeper.answer(call.file, question: call.question, choice: call.choice, by: who, finish(reply))
        }
        server.later(StopAllMachines.self) { [unowned self] call, reply in
            stopAll(call.seconds) { reply.answer($0) }
        }
    }

    private func answerSettingsCalls() {
        server.later(RegisterMachine.self) { [unowned self] call, reply in
            keeper.register(call.file, by: user(reply.peer), finish(reply))
        }
        server.later(UnregisterMachine.self) { [unowned self] call, reply in
            keeper.unregister(call.file, by: user(reply.peer), finish(reply))
        }
        server.later(SetAutostart.self) { [unowned self] call, reply in
            keeper.setAutostart(call, by: user(reply.peer), finish(reply))
        }
        server.later(ScanMachines.self) { [unowned self] _, reply in
            keeper.scan { [unowned self] in reply.answer(UInt32(clamping: keeper.inventory.machines.count)) }
        }
    }

    private func answerHostCalls() {
        server.later(Login.self) { [unowned self] call, reply in
            accounts.login(call.user, call.password, origin: call.origin, finish(reply))
        }
        server.later(SetPassword.self) { [unowned self] call, reply in
            accounts.setPassword(call.user, old: call.old, new: call.new, finish(reply))
        }
        server.on(ListEvents.self) { [unowned self] call, _ in
            keeper.journal.after(call.after, limit: Int(min(call.limit, 1000)))
        }
        server.on(ListTasks.self) { [unowned self] _, _ in keeper.journal.tasks }
        server.on(WatchMachines.self) { _, peer in
            peer.wantsEvents = true
            return Done()
        }
    }

    private func stopAll(_ seconds: UInt32, _ then: @escaping ([String]) -> Void) {
        stopWaiters.append(then)
        guard stopping == nil else { return }
        autostart.finish()
        let runner = StopAllRunner(keeper, seconds: seconds) { [unowned self] remarks in
            stopping = nil
            let waiters = stopWaiters
            stopWaiters = []
            for waiter in waiters { waiter(remarks) }
        }
        stopping = runner
        runner.advance()
    }
}
