import Curses
import Linux
import Log
import Terminal

/// The console's state, its terminal and its services, held together by an event loop.
final class DirectConsole: EventHandler, @unchecked Sendable {
    // @unchecked: belongs to the loop's thread, which is the main one; the worker hands its answers over to it.

    private let line: TerminalLine
    private let display: CursesDisplay
    private let loop: EventLoop
    private var state: ConsoleState
    private var decoder = KeyDecoder()
    private var worker: ServiceWorker?
    private var clock: Timer?
    private var escapeTimer: Timer?
    private var signals: SignalEvents?
    private let path: String
    private let isVirtualConsole: Bool
    /// Whether the kernel knows the terminal's size; of a serial line it is asked with escape sequences.
    private let kernelKnowsSize: Bool
    private var lastRepaint: UInt64 = 0

    init(_ line: consuming TerminalLine, _ options: DCUIProcess.Options, _ services: any ConsoleServices) throws {
        let terminal = options.terminal(environment: environmentVariable("TERM"))
        path = options.path
        isVirtualConsole = line.isVirtualConsole
        let size = line.size
        kernelKnowsSize = size != nil
        display = try CursesDisplay(line, type: terminal, unicode: options.speaksUnicode(terminal))
        loop = try EventLoop(name: "dcui")
        self.line = line
        state = ConsoleState(
            size: CellSize(columns: size?.columns ?? 80, rows: size?.rows ?? 24), now: monotonicNanoseconds())
        super.init()
        worker = try ServiceWorker(services) { [weak self] request, answer in
            guard let self else { return }
            self.loop.perform { self.handle(.answer(request, answer)) }
        }
        clock = try Timer(on: loop) { [weak self] in self?.tick() }
        escapeTimer = try Timer(on: loop) { [weak self] in
            guard let self else { return }
            for key in self.decoder.timeOut() { self.handle(.key(key)) }
        }
        signals = try SignalEvents([.terminate, .interrupt, .hangUp, .windowChange], on: loop) { [weak self] signal in
            guard let self else { return }
            switch signal {
            case .windowChange:
                if let size = self.line.size { self.handle(.resized(.init(columns: size.columns, rows: size.rows))) }
            case .terminate, .hangUp: self.loop.stop()
            // Nobody ends the console from its keyboard.
            case .interrupt, .child: break
            }
        }
        try loop.watch(self.line.descriptor.raw, for: .readable, self)
    }

    func run() {
        if !kernelKnowsSize { askSize() }
        clock?.set(after: 1, every: 1_000_000_000)
        display.show(state.draw(), highContrast: state.isHighContrast)
        // The monotonic clock begins with the kernel.
        let hundredths = monotonicNanoseconds() / 10_000_000
        let fraction = hundredths % 100 < 10 ? "0\(hundredths % 100)" : "\(hundredths % 100)"
        Log("dcui").info("shown on \(path) \(hundredths / 100).\(fraction) s after the kernel's start")
        loop.run()
        display.close()
    }

    override func ready(_ events: Readiness) {
        guard let bytes = line.descriptor.readAvailable() else { return }
        // Hung up: whoever supervises starts the console again when the line is back.
        if bytes.isEmpty { return loop.stop() }
        for key in decoder.feed(bytes) { handle(.key(key)) }
        if decoder.isWaiting {
            escapeTimer?.set(after: KeyDecoder.escapeMilliseconds * 1_000_000)
        } else {
            escapeTimer?.cancel()
        }
    }

    private func tick() {
        // Messages of the kernel may have got onto the screen.
        let now = monotonicNanoseconds()
        if isVirtualConsole, now &- lastRepaint > 60_000_000_000 {
            lastRepaint = now
            display.forget()
        }
        handle(.tick)
    }

    private func handle(_ event: ConsoleEvent) {
        for effect in state.reduce(event, now: monotonicNanoseconds()) {
            switch effect {
            case .ask(let request): worker?.ask(request)
            case .repaint: display.forget()
            case .askSize: if !kernelKnowsSize { askSize() }
            case .setKeyboard(let name): setKeyboard(name)
            }
        }
        display.show(state.draw(), highContrast: state.isHighContrast)
    }

    /// Sends the cursor beyond every corner and asks where it is: the answer comes as `Key.cursorReport` (ECMA-48: CUP, DSR 6, CPR).
    private func askSize() {
        line.descriptor.writeAll("\u{1b}7\u{1b}[999;999H\u{1b}[6n\u{1b}8")
        display.forget()
    }

    private func setKeyboard(_ name: String) {
        guard isVirtualConsole else { return }
        for entry in KeyboardLayout.named(name).entries {
            // What one key gives is not worth a message on the screen.
            try? line.setKey(table: entry.table, code: entry.code, value: entry.value)
        }
    }
}
