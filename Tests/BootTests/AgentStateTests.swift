import Linux
import Testing

@testable import Boot

private let second: UInt64 = 1_000_000_000

@Suite("An agent's life")
struct AgentStateTests {
    private func started(isAsked: Bool = true, at time: UInt64 = 100 * second) -> AgentState {
        var state = AgentState(isAsked: isAsked, restart: .always)
        state.started(now: time)
        return state
    }

    @Test("one that can be asked is well when it has answered, one that cannot when it runs")
    func health() {
        var state = started()
        #expect(!state.isHealthy)
        state.answered(now: 101 * second)
        #expect(state.isHealthy)
        #expect(started(isAsked: false).isHealthy)
        #expect(started(isAsked: false).answerDue == nil)
    }

    @Test("after a good run it is started again at once")
    func goodRun() {
        var state = started()
        #expect(state.ended(.signalled(11), now: 111 * second) == .startsAgain(after: 0))
        #expect(state.restarts == 1)
    }

    @Test("one that keeps failing is started ever later, up to half a minute")
    func backOff() {
        var state = AgentState(isAsked: true, restart: .always)
        var delays: [UInt64] = []
        for _ in 0..<12 {
            state.started(now: 0)
            guard case .startsAgain(let delay) = state.ended(.exited(1), now: 1000) else { continue }
            delays.append(delay / 1_000_000)
        }
        #expect(delays == [50, 100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000])
    }

    @Test("one that others kill is back in a moment, however often")
    func killed() {
        var state = AgentState(isAsked: true, restart: .always)
        for _ in 0..<100 {
            state.started(now: 0)
            #expect(state.ended(.signalled(9), now: second) == .startsAgain(after: AgentState.delayMin))
        }
    }

    @Test("one that hangs is killed once, and counts as failing")
    func hangs() {
        var state = started()
        state.answered(now: 105 * second)
        let atOnce = state.hangs(now: 134 * second)
        #expect(!atOnce)
        let later = state.hangs(now: 135 * second)
        #expect(later)
        let again = state.hangs(now: 136 * second)
        #expect(!again)
        #expect(state.ended(.signalled(9), now: 136 * second) == .startsAgain(after: AgentState.delayMin))
        state.started(now: 137 * second)
        #expect(state.phase == .starting)
        // It never answers this time.
        let mute = state.hangs(now: 197 * second)
        #expect(mute)
        #expect(state.ended(.signalled(9), now: 197 * second) == .startsAgain(after: 2 * AgentState.delayMin))
    }

    @Test("a command that is not there is not tried again")
    func missing() {
        var state = started()
        #expect(state.ended(.exited(64), now: 101 * second) == .isMissing)
        #expect(state.phase == .impossible)
        #expect(state.startDue == nil)
    }

    @Test("one that is told to stop stays stopped, whenever that is")
    func stops() {
        var running = started()
        running.stop()
        #expect(running.ended(.signalled(15), now: 200 * second) == .isDone)
        #expect(running.startDue == nil)
        var waiting = AgentState(isAsked: false, restart: .always)
        waiting.stop()
        #expect(waiting.startDue == nil)
    }

    @Test("a command that is done is done")
    func done() {
        var state = AgentState(isAsked: false, restart: .afterFailure)
        state.started(now: 0)
        #expect(state.ended(.exited(0), now: 1) == .isDone)
        #expect(state.startDue == nil)
    }

    @Test("the agents need only agents, of those before them")
    func table() {
        var names: [String] = []
        for agent in Agent.all(terminals: ["tty1", "ttyS0"]) {
            #expect(agent.needs.allSatisfy(names.contains), "\(agent.name)")
            names.append(agent.name)
        }
        #expect(names == ["logd", "configd", "netd", "timed", "hostd", "dcui-tty1", "dcui-ttyS0"])
    }
}

@Suite("Confirming a boot")
struct BootConfirmationTests {
    @Test("a boot is confirmed once, after all were well without a break")
    func confirms() {
        var confirmation = BootConfirmation(isTrial: true, now: 0)
        #expect(confirmation.look(isWell: true, now: 10 * second) == .wait)
        #expect(confirmation.look(isWell: false, now: 29 * second) == .wait)
        #expect(confirmation.look(isWell: true, now: 30 * second) == .wait)
        #expect(confirmation.due == 50 * second)
        #expect(confirmation.look(isWell: true, now: 49 * second) == .wait)
        #expect(confirmation.look(isWell: true, now: 50 * second) == .confirm)
        #expect(confirmation.look(isWell: false, now: 400 * second) == .wait)
        #expect(confirmation.due == nil)
    }

    @Test("a trial that does not come up is given up, anything else is left alone")
    func givesUp() {
        var trial = BootConfirmation(isTrial: true, now: 0)
        #expect(trial.due == BootConfirmation.trialMax)
        #expect(trial.look(isWell: false, now: BootConfirmation.trialMax) == .giveUp)
        var usual = BootConfirmation(isTrial: false, now: 0)
        #expect(usual.look(isWell: false, now: 1000 * second) == .wait)
        #expect(usual.due == nil)
    }
}
