import Terminal
import Testing

@testable import DCUI

@Suite("Power and machines")
struct PowerTests {
    @Test("shutting down asks for the login first, then for the box when machines are on")
    func shutDown() {
        var console = ConsoleHarness()
        console.press(.function(12))
        #expect(console.shows("Log in to shut down or restart"))
        console.press(.enter)
        #expect(console.shows("2 virtual machines are on: web01, database."))
        console.press(.function(2))
        #expect(!console.asked.contains(.power(.shutDown)))
        console.press(.space, .function(2))
        #expect(console.asked.last == .power(.shutDown))
        #expect(console.shows("The host shuts down"))
    }

    @Test("without machines on, F11 restarts at once")
    func restart() {
        var console = ConsoleHarness(ChangedServices { $0.machines = [] })
        console.press(.function(12), .enter, .function(11))
        #expect(console.asked.last == .power(.restart))
        #expect(console.shows("The host restarts"))
    }

    @Test("F12 in the settings asks at once, and Esc leads back to them")
    func fromSettings() {
        var console = ConsoleHarness()
        console.logIn()
        console.press(.function(12))
        #expect(console.shows("Shut down or restart this host?"))
        console.press(.escape)
        #expect(console.shows("Host Settings"))
        console.press(.escape)
        #expect(console.state.screens.isEmpty)
    }

    @Test("Esc leaves the power dialog without doing anything")
    func cancel() {
        var console = ConsoleHarness()
        console.press(.function(12), .enter, .escape)
        #expect(console.asked.count == 1)
    }

    private func machine(_ index: Int) -> ConsoleHarness {
        var console = ConsoleHarness()
        console.logIn()
        console.open("Virtual Machines")
        for _ in 0..<index { console.press(.down) }
        console.press(.enter)
        return console
    }

    @Test("a machine that is off is started")
    func start() {
        var console = machine(2)
        console.open("Start")
        #expect(console.asked.last == .machine(file: "/data/build-linux/build-linux.vmx", .start))
        #expect(console.shows("State       On"))
    }

    @Test("a machine that does not start says why")
    func failure() {
        var console = machine(3)
        console.open("Start")
        #expect(console.shows("cannot be opened"))
    }

    @Test("power off needs F11; shutting the guest down does not")
    func powerOff() {
        var console = machine(0)
        console.open("Shut Down Guest")
        #expect(console.asked.last == .machine(file: "/data/web01/web01.vmx", .shutDownGuest))
        console.press(.enter)
        console.open("Power Off")
        console.press(.enter)
        #expect(console.asked.last == .machine(file: "/data/web01/web01.vmx", .shutDownGuest))
        console.press(.function(11))
        #expect(console.asked.last == .machine(file: "/data/web01/web01.vmx", .powerOff))
    }

    @Test("an order that makes no sense is not sent")
    func obstacle() {
        var console = machine(2)
        console.open("Power Off")
        #expect(console.shows("This machine is not switched on."))
        #expect(console.asked.count == 1)
    }

    @Test("the place in the order of starts is set and taken away")
    func order() {
        var console = machine(2)
        console.open("Automatic Start")
        console.press(.space, .down)
        console.type("3")
        console.press(.enter)
        #expect(console.asked.contains(.edit(.autostart(true))))
        #expect(console.asked.last == .setStartOrder(file: "/data/build-linux/build-linux.vmx", 3))
        console.open("Automatic Start")
        console.press(.down)
        console.clear()
        console.press(.enter)
        #expect(console.asked.last == .setStartOrder(file: "/data/build-linux/build-linux.vmx", nil))
    }

    @Test("a machine that vanished leaves an empty menu, not a trap")
    func vanished() {
        var console = machine(4)
        console.send(.answer(.observe, .observed(HostObservation())))
        console.press(.down, .enter, .end, .enter)
        #expect(!console.text.isEmpty)
    }
}

@Suite("Looking through texts")
struct PagerTests {
    private func pager(_ lines: [String]) -> Pager { Pager("t", lines) }

    @Test("long lines are broken, not cut")
    func wrapped() {
        let rows = pager([String(repeating: "x", count: 25), "", "short"]).rows(width: 10)
        #expect(rows.map(\.text) == ["xxxxxxxxxx", "    xxxxxx", "    xxxxxx", "    xxx", "", "short"])
        #expect(rows.map(\.line) == [0, 0, 0, 0, 1, 2])
    }

    @Test("scrolling stops at both ends")
    func scrolling() {
        var pager = pager((0..<50).map { "\($0)" })
        pager.scroll(-5, height: 10, width: 20)
        #expect(pager.top == 0)
        pager.scrollToEnd(height: 10, width: 20)
        #expect(pager.top == 40)
        pager.scroll(1, height: 10, width: 20)
        #expect(pager.top == 40)
    }

    @Test("search ignores case, goes on with n, and around the end")
    func search() {
        var pager = pager(["Alpha", "beta", "ALPHA", "gamma"])
        pager.pattern = "alpha"
        pager.search(backwards: false, height: 2, width: 20)
        #expect(pager.found == 0)
        pager.search(backwards: false, height: 2, width: 20)
        #expect(pager.found == 2)
        pager.search(backwards: false, height: 2, width: 20)
        #expect(pager.found == 0 && pager.notice == "Search went around the end.")
        pager.search(backwards: true, height: 2, width: 20)
        #expect(pager.found == 2)
        pager.pattern = "delta"
        pager.search(backwards: false, height: 2, width: 20)
        #expect(pager.found == nil && pager.notice.contains("delta"))
    }

    @Test("a log is read again by F5 and shows its end")
    func refresh() {
        var console = ConsoleHarness()
        console.logIn()
        console.open("System Logs")
        console.press(.character("3"))
        #expect(console.shows("message number 199 of the netd log"))
        console.press(.home, .function(5))
        #expect(console.asked.suffix(2).allSatisfy { $0 == .readLog(name: "netd", count: 2000) })
        #expect(console.shows("message number 199 of the netd log"))
        console.press(.character("q"))
        #expect(console.shows("System Logs"))
    }

    @Test("no logs yet is said so")
    func none() {
        var console = ConsoleHarness(ChangedServices(reply: { $0 == .listLogs ? .logs([]) : nil }))
        console.logIn()
        console.open("System Logs")
        #expect(console.shows("There are no logs yet."))
    }
}

@Suite("Any keys on any screen")
struct RobustnessTests {
    private static let keys: [Key] =
        [
            .enter, .enter, .enter, .tab, .backTab, .up, .down, .down, .left, .right, .home, .end, .pageUp, .pageDown,
            .space, .backspace, .delete, .insert, .character("1"), .character("y"), .character("n"), .character("/"),
            .character("q"), .character("d"), .character("é"), .control("L"), .control("U"),
            .cursorReport(row: 24, column: 80), .cursorReport(row: 3000, column: 9999),
        ] + (1...12).map { Key.function($0) }

    @Test("thousands of random keys, sizes and silences leave a picture of the right size", arguments: 0..<8)
    func random(seed: UInt64) {
        // Whoever presses keys at random would be locked out for good.
        var console = ConsoleHarness(
            ChangedServices(reply: { request in if case .login = request { .done } else { nil } }))
        var number = seed &* 0x9e37_79b9_7f4a_7c15 | 1
        func next(_ limit: Int) -> Int {
            number ^= number << 13
            number ^= number >> 7
            number ^= number << 17
            return Int(number % UInt64(limit))
        }
        var seen: Set<String> = []
        for _ in 0..<5_000 {
            switch next(40) {
            case 0:
                console.send(.resized(CellSize(columns: next(160), rows: next(60))))
                console.send(.resized(CellSize(columns: 80, rows: 24)))
            case 1: console.wait(seconds: UInt64(next(20)))
            case 2: console.press(.function(2), .enter)
            case 3: console.press(.escape)
            default: console.press(Self.keys[next(Self.keys.count)])
            }
            let canvas = console.state.draw()
            #expect(canvas.cells.count == canvas.size.columns * canvas.size.rows)
            seen.insert(canvas.lines.joined())
            // A host that goes down takes no more keys.
            if case .busy? = console.state.screens.last { console.state.logOut() }
        }
        #expect(seen.count > 100)
    }

    @Test("F4 changes to high contrast and paints anew, on every screen")
    func contrast() {
        var console = ConsoleHarness()
        console.press(.function(2), .function(4))
        #expect(console.state.isHighContrast && console.effects.last == .repaint)
        #expect(console.shows("Log in"))
    }

    @Test("Ctrl-L asks for the size and paints anew")
    func redraw() {
        var console = ConsoleHarness()
        console.press(.control("L"))
        #expect(Array(console.effects.suffix(2)) == [.askSize, .repaint])
        console.press(.cursorReport(row: 40, column: 132))
        #expect(console.state.size == CellSize(columns: 132, rows: 40))
    }
}

@Suite("Keyboard layouts")
struct KeyboardLayoutTests {
    @Test("every layout says what every key gives", arguments: KeyboardLayout.all.map(\.name))
    func complete(name: String) {
        let layout = KeyboardLayout.named(name)
        for row in 0..<4 {
            #expect(layout.plain[row].unicodeScalars.count == KeyboardLayout.codes[row].count)
            #expect(layout.shift[row].unicodeScalars.count == KeyboardLayout.codes[row].count)
        }
        // Every printable ASCII character can be typed: a password needs them. Dead accents give theirs before a space.
        let typed =
            (layout.plain + layout.shift).joined() + layout.third
            + String(layout.further.flatMap { [$0.plain, $0.shift] }.map(Character.init))
        var scalars = Set(typed.unicodeScalars)
        for (dead, accent) in [(0x300, "`"), (0x301, "'"), (0x302, "^"), (0x303, "~")] as [(UInt32, Unicode.Scalar)] {
            if let dead = Unicode.Scalar(dead), scalars.contains(dead) { scalars.insert(accent) }
        }
        let missing = (0x21...0x7e).compactMap { Unicode.Scalar(UInt32($0)) }.filter { !scalars.contains($0) }
        #expect(missing == [])
    }

    @Test("German has Z where English has Y, and AltGr gives an at sign on Q")
    func german() {
        let entries = KeyboardLayout.named("de").entries
        #expect(entries.contains(.init(table: 0, code: 21, value: 0xb00 | 0x7a)))
        #expect(entries.contains(.init(table: 2, code: 16, value: 0x40)))
        #expect(entries.contains(.init(table: 4, code: 21, value: 26)))
        // ü is U+00FC.
        #expect(entries.contains(.init(table: 0, code: 26, value: 0xf0fc)))
    }

    @Test("each layout sets the same keys, so that none is left of the one before")
    func sameKeys() {
        let keys = { (layout: KeyboardLayout) in
            Set(layout.entries.filter { $0.table < 3 }.map { UInt16($0.table) << 8 | UInt16($0.code) })
        }
        for layout in KeyboardLayout.all { #expect(keys(layout).isSuperset(of: keys(.us))) }
    }
}
