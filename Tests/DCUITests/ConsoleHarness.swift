import HostModel
import Terminal

@testable import DCUI

/// The console with services that answer at once, and a clock that a test moves.
struct ConsoleHarness {
    var state: ConsoleState
    var services: any ConsoleServices
    /// Every question that was asked, observations left out.
    var asked: [ServiceRequest] = []
    var effects: [ConsoleEffect] = []
    var now: UInt64 = 1_000_000_000

    init(_ services: any ConsoleServices = DemoServices(isSlow: false), columns: Int = 80, rows: Int = 25) {
        state = ConsoleState(size: CellSize(columns: columns, rows: rows), now: now)
        self.services = services
        send(.tick)
    }

    mutating func send(_ event: ConsoleEvent) {
        var effects = state.reduce(event, now: now)
        while !effects.isEmpty {
            let effect = effects.removeFirst()
            self.effects.append(effect)
            guard case .ask(let request) = effect else { continue }
            if request != .observe { asked.append(request) }
            effects += state.reduce(.answer(request, services.answer(request)), now: now)
        }
    }

    mutating func press(_ keys: Key...) { for key in keys { send(.key(key)) } }

    mutating func type(_ text: String) { for scalar in text.unicodeScalars { press(.character(scalar)) } }

    mutating func clear() { press(.end, .control("U")) }

    mutating func wait(seconds: UInt64) {
        now += seconds * 1_000_000_000
        send(.tick)
    }

    mutating func logIn() { press(.function(2), .enter) }

    /// Highlights the entry of this title in the menu that is shown, and opens it.
    mutating func open(_ title: String) {
        press(.home)
        for _ in 0..<30 {
            guard case .menu(let menu)? = state.screens.last else { return }
            let entries = state.entries(of: menu.kind)
            if entries.indices.contains(menu.selected), entries[menu.selected].title == title { return press(.enter) }
            press(.down)
        }
    }

    var text: String { state.draw().lines.joined(separator: "\n") + "\n" }

    func shows(_ part: String) -> Bool { text.contains(part) }

    var settings: HostSettings {
        guard case .observed(let observation) = services.answer(.observe) else { return HostSettings() }
        return observation.settings ?? HostSettings()
    }
}

/// The demo's host, changed by a test before it is seen.
struct ChangedServices: ConsoleServices {
    var base = DemoServices(isSlow: false)
    var change: @Sendable (inout HostObservation) -> Void = { _ in }
    var reply: @Sendable (ServiceRequest) -> ServiceAnswer? = { _ in nil }

    init(
        _ change: @escaping @Sendable (inout HostObservation) -> Void = { _ in },
        reply: @escaping @Sendable (ServiceRequest) -> ServiceAnswer? = { _ in nil }
    ) {
        self.change = change
        self.reply = reply
    }

    func answer(_ request: ServiceRequest) -> ServiceAnswer {
        if let answer = reply(request) { return answer }
        let answer = base.answer(request)
        guard case .observed(var observation) = answer else { return answer }
        change(&observation)
        return .observed(observation)
    }
}
