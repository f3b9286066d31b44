import HostModel
public import Terminal

/// What came in.
public enum ConsoleEvent: Equatable, Sendable {
    case key(Key)
    /// Time goes by; about once a second.
    case tick
    case answer(ServiceRequest, ServiceAnswer)
    case resized(CellSize)
}

/// What has to be done about it.
public enum ConsoleEffect: Equatable, Sendable {
    case ask(ServiceRequest)
    /// Paint every cell again, whatever is believed to be there.
    case repaint
    /// Ask the terminal for its size.
    case askSize
    case setKeyboard(String)
}

/// The direct console: everything it shows and knows. It changes by `reduce` only and is drawn by `draw`; neither does anything else.
public struct ConsoleState: Equatable, Sendable {
    public internal(set) var size: CellSize
    public internal(set) var host = HostObservation()
    /// Plain black and white.
    public internal(set) var isHighContrast = false
    /// What stands before the status screen, the frontmost last.
    var screens: [Screen] = []
    /// Who is logged in.
    var user: String?
    /// Changes to the management network that are not applied yet.
    var draft: NetworkDraft?
    /// The question whose answer a `.busy` screen waits for.
    var busyWith: ServiceRequest?
    /// Whether somebody was asked to observe and has not answered.
    var isObserving = false
    /// Whether any observation has come.
    var hasObserved = false
    /// Nanoseconds on the monotonic clock.
    var now: UInt64
    var lastKey: UInt64
    var lastObservation: UInt64 = 0
    /// The layout that the keyboard has.
    var keyboard: String?
    /// Logs that can be viewed.
    var logs: [LogEntry] = []
    var effects: [ConsoleEffect] = []

    struct NetworkDraft: Equatable, Sendable {
        var original: ManagementNetwork
        var edited: ManagementNetwork
    }

    /// How often the host is looked at, in nanoseconds.
    static let observationInterval: UInt64 = 3_000_000_000

    public init(size: CellSize, now: UInt64) {
        self.size = size
        self.now = now
        lastKey = now
    }

    /// Takes an event in.
    ///
    /// - Parameter now: nanoseconds on the monotonic clock.
    /// - Returns: what to do, in this order.
    public mutating func reduce(_ event: ConsoleEvent, now: UInt64) -> [ConsoleEffect] {
        self.now = now
        switch event {
        case .key(.cursorReport(let row, let column)):
            // The answer to `askSize`: the cursor was sent beyond the last cell. Sizes are bounded: the line is foreign.
            if (10...500).contains(row), (20...1000).contains(column) {
                resize(CellSize(columns: column, rows: row))
            }
        case .key(let key): press(key)
        case .tick: tick()
        case .answer(let request, let answer): take(answer, to: request)
        case .resized(let size): resize(size)
        }
        defer { effects = [] }
        return effects
    }

    private mutating func resize(_ size: CellSize) {
        guard size != self.size else { return }
        self.size = size
        effects.append(.repaint)
    }

    private mutating func tick() {
        let limit = UInt64(host.settings?.console.idleTimeout ?? 600) * 1_000_000_000
        if user != nil || !screens.isEmpty, limit > 0, now >= lastKey, now - lastKey >= limit { logOut() }
        if !isObserving, !hasObserved || now &- lastObservation >= Self.observationInterval { observe() }
    }

    mutating func observe() {
        guard !isObserving else { return }
        isObserving = true
        lastObservation = now
        effects.append(.ask(.observe))
    }

    mutating func logOut() {
        screens = []
        user = nil
        draft = nil
        busyWith = nil
        effects.append(.repaint)
    }

    // MARK: The stack of screens

    mutating func push(_ screen: Screen) { screens.append(screen) }

    mutating func pop() { _ = screens.popLast() }

    mutating func replaceTop(_ screen: Screen) {
        pop()
        push(screen)
    }

    mutating func showMessage(_ title: String, _ text: String, isBad: Bool = false) {
        push(.message(Message(title: title, text: text, isBad: isBad)))
    }

    /// Asks, and shows that it takes time until the answer comes.
    mutating func ask(_ request: ServiceRequest, _ text: String) {
        busyWith = request
        push(.busy(text))
        effects.append(.ask(request))
    }

    private mutating func press(_ key: Key) {
        lastKey = now
        switch key {
        case .control("L"): effects += [.askSize, .repaint]
        case .function(4):
            isHighContrast.toggle()
            effects.append(.repaint)
        default: pressOnTop(key)
        }
    }

    private mutating func pressOnTop(_ key: Key) {
        switch screens.last {
        case nil: pressOnStatus(key)
        case .menu(let menu): press(key, menu: menu)
        case .form(let form): press(key, form: form)
        case .message: if [.enter, .escape, .space].contains(key) { pop() }
        case .confirmation(let question): press(key, confirmation: question)
        case .busy: break
        case .pager(let pager): press(key, pager: pager)
        case .machines(let selected): press(key, machine: selected)
        case .networkTest: if [.escape, .enter].contains(key) { pop() }
        }
    }

    private mutating func pressOnStatus(_ key: Key) {
        switch key {
        case .function(2): push(.form(loginForm(.settings)))
        case .function(12): push(.form(loginForm(.power)))
        case .function(5): observe()
        default: break
        }
    }
}
