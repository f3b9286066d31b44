import Testing

@testable import HostModel

private let second: UInt64 = 1_000_000_000

@Suite("Automatic starts")
struct AutostartTests {
    private func settings(_ machines: [(file: String, order: UInt32?, delay: UInt32?)]) -> HostSettings {
        var settings = HostSettings()
        settings.autostart.isEnabled = true
        settings.autostart.startDelay = 10
        settings.machines = machines.map {
            var machine = RegisteredMachine()
            machine.file = $0.file
            machine.startOrder = $0.order
            machine.startDelay = $0.delay
            return machine
        }
        return settings
    }

    @Test("machines with a place start in its order, each with its delay or the host's")
    func order() {
        let plan = AutostartPlan.starts(settings([("/c", 3, nil), ("/no", nil, nil), ("/a", 1, 5), ("/b", 3, 0)]))
        #expect(plan.map(\.file) == ["/a", "/c", "/b"])
        #expect(plan.map(\.delay) == [5 * second, 10 * second, 0])
    }

    @Test("nothing starts while automatic starts are off")
    func off() {
        var settings = settings([("/a", 1, nil)])
        settings.autostart.isEnabled = false
        #expect(AutostartPlan.starts(settings).isEmpty)
    }

    @Test("each machine waits for the delay of the one before")
    func delays() {
        var run = AutostartRun(AutostartPlan.starts(settings([("/a", 1, 5), ("/b", 2, nil), ("/c", 3, nil)])))
        func next(_ now: UInt64) -> AutostartRun.Action { run.next(now: now, handled: []) { _ in true } }
        #expect(next(100) == .start("/a"))
        #expect(next(101) == .wait(until: 100 + 5 * second))
        #expect(next(100 + 5 * second) == .start("/b"))
        #expect(next(100 + 15 * second) == .start("/c"))
        #expect(next(100 + 15 * second) == .finished, "nothing waits after the last one")
    }

    @Test("a run that goes on after the agent's restart keeps the delay and leaves out what was started")
    func resumes() {
        let steps = AutostartPlan.starts(settings([("/a", 1, 5), ("/b", 2, nil)]))
        var run = AutostartRun(steps, notBefore: 7)
        #expect(run.next(now: 1, handled: ["/a"]) { _ in true } == .wait(until: 7))
        #expect(run.next(now: 7, handled: ["/a"]) { _ in true } == .start("/b"))
    }

    @Test("a machine that an administrator has decided about meanwhile is left alone, without a delay")
    func handled() {
        var run = AutostartRun(AutostartPlan.starts(settings([("/a", 1, nil), ("/b", 2, nil)])))
        #expect(run.next(now: 1, handled: ["/a", "/b"]) { _ in true } == .finished)
    }

    @Test("a file that is not there yet is waited for, and given up after a minute")
    func missing() {
        var run = AutostartRun(AutostartPlan.starts(settings([("/a", 1, nil), ("/b", 2, nil)])))
        var present: Set<String> = ["/b"]
        func next(_ now: UInt64) -> AutostartRun.Action { run.next(now: now, handled: []) { present.contains($0) } }
        #expect(next(0) == .wait(until: second))
        #expect(next(59 * second) == .wait(until: 60 * second))
        #expect(next(60 * second) == .giveUp("/a"))
        #expect(next(60 * second) == .start("/b"))
        present = []
        #expect(next(60 * second) == .finished)
    }
}

@Suite("Stopping all machines")
struct StopRunTests {
    private typealias Target = StopRun.Target

    private func settings(_ machines: [(String, UInt32?, AutostartSettings.StopAction?)]) -> HostSettings {
        var settings = HostSettings()
        settings.autostart.isEnabled = true
        settings.autostart.stopAction = .guestShutdown
        settings.machines = machines.map {
            var machine = RegisteredMachine()
            machine.file = $0.0
            machine.startOrder = $0.1
            machine.stopAction = $0.2
            return machine
        }
        return settings
    }

    @Test("waves go against the order of starts; machines without a place come first, those to be left alone last")
    func waves() {
        let settings = settings([
            ("/a", 1, nil), ("/b", 2, .powerOff), ("/c", 2, nil), ("/d", nil, .suspend), ("/e", 3, Optional.none),
            ("/n", 1, AutostartSettings.StopAction.none),
        ])
        let waves = StopPlan.waves(settings, running: ["/a", "/b", "/c", "/d", "/n", "/x"])
        #expect(
            waves == [
                [Target(file: "/d", action: .suspend), Target(file: "/x", action: .guestShutdown)],
                [Target(file: "/b", action: .powerOff), Target(file: "/c", action: .guestShutdown)],
                [Target(file: "/a", action: .guestShutdown)],
                [Target(file: "/n", action: .none)],
            ])
    }

    @Test("while automatic starts are off, guests are asked to shut down, whatever the host's action")
    func off() {
        var settings = settings([("/a", 1, nil), ("/b", 2, .powerOff)])
        settings.autostart.stopAction = .powerOff
        let actions = { StopPlan.waves(settings, running: ["/a", "/b", "/x"]).joined().map(\.action) }
        #expect(actions() == [.powerOff, .powerOff, .powerOff])
        settings.autostart.isEnabled = false
        #expect(actions() == [.guestShutdown, .powerOff, .guestShutdown])
    }

    @Test("a wave begins when the one before is off")
    func sequence() {
        var run = StopRun(
            [[Target(file: "/b", action: .guestShutdown)], [Target(file: "/a", action: .powerOff)]],
            stopDelay: 30 * second, deadline: 200 * second)
        #expect(run.advance(now: 0) == [.shutDown("/b")])
        #expect(run.wakeUp == 30 * second)
        #expect(run.advance(now: second) == [])
        run.ended("/b")
        #expect(run.advance(now: 2 * second) == [.powerOff("/a")])
        #expect(!run.isDone)
        run.ended("/a")
        #expect(run.advance(now: 3 * second) == [])
        #expect(run.isDone && run.wakeUp == nil)
    }

    @Test("a guest that takes too long is powered off, and so is one that cannot be asked")
    func force() {
        var run = StopRun(
            [[Target(file: "/a", action: .guestShutdown), Target(file: "/b", action: .suspend)]],
            stopDelay: 30 * second,
            deadline: 200 * second)
        #expect(run.advance(now: 0) == [.shutDown("/a"), .cannotSuspend("/b"), .shutDown("/b")])
        #expect(run.refused("/b") == [.powerOff("/b")])
        run.ended("/b")
        #expect(run.refused("/b") == [])
        #expect(run.advance(now: 30 * second) == [.tooSlow("/a"), .powerOff("/a")])
        #expect(run.advance(now: 31 * second) == [], "once is enough")
    }

    @Test("short of time, waves share it out, and all that run are powered off before the deadline")
    func deadline() {
        var run = StopRun(
            ["/c", "/b", "/a"].map { [Target(file: $0, action: .guestShutdown)] }, stopDelay: 100 * second,
            deadline: 33 * second)
        #expect(run.advance(now: 0) == [.shutDown("/c")])
        #expect(run.wakeUp == 10 * second)
        #expect(run.advance(now: 10 * second) == [.tooSlow("/c"), .powerOff("/c")])
        let last = run.advance(now: 30 * second)
        #expect(last == [.tooSlow("/c"), .powerOff("/c"), .powerOff("/b"), .powerOff("/a")])
        for file in ["/a", "/b", "/c"] { run.ended(file) }
        #expect(run.isDone)
    }

    @Test("without machines it is done at once")
    func empty() {
        var run = StopRun([], stopDelay: 1, deadline: 0)
        #expect(run.advance(now: 5) == [])
        #expect(run.isDone)
    }
}
