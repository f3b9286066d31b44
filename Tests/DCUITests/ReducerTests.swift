import Addresses
import HostModel
import Terminal
import Testing

@testable import DCUI

@Suite("Logging in and out")
struct SessionTests {
    @Test("without a password set, an empty one opens the settings")
    func emptyPassword() {
        var console = ConsoleHarness()
        console.press(.function(2))
        #expect(console.shows("leave the password empty"))
        console.press(.enter)
        #expect(console.asked == [.login(user: "root", password: "")])
        #expect(console.shows("Host Settings"))
    }

    @Test("a wrong password is said so, the dialog stays, and the field is empty again")
    func wrong() {
        var console = ConsoleHarness()
        console.press(.function(2))
        console.type("wrong")
        console.press(.enter)
        #expect(console.shows("The login name or the password is wrong."))
        console.press(.enter)
        #expect(console.asked.last == .login(user: "root", password: ""))
        #expect(console.state.user == "root")
    }

    @Test("the tenth wrong password meets a locked account")
    func lockout() {
        var console = ConsoleHarness()
        console.press(.function(2))
        for _ in 0..<10 {
            console.type("wrong")
            console.press(.enter)
        }
        #expect(console.shows("root is locked for 15 minutes"))
        #expect(console.state.user == nil)
    }

    @Test("a password is never on the screen")
    func hidden() {
        var console = ConsoleHarness()
        console.press(.function(2))
        console.type("s3cret")
        #expect(console.shows("******") && !console.shows("s3cret"))
    }

    @Test("nobody there for the idle time: logged out, changes dropped")
    func idle() {
        var console = ConsoleHarness()
        console.logIn()
        console.open("Management Network")
        console.wait(seconds: 599)
        #expect(console.state.user == "root")
        console.wait(seconds: 1)
        #expect(console.state.user == nil && console.state.draft == nil)
        #expect(console.shows("Manage this host at"))
    }

    @Test("an idle time of zero never logs out")
    func neverIdle() {
        var console = ConsoleHarness(ChangedServices { $0.settings?.console.idleTimeout = 0 })
        console.logIn()
        console.wait(seconds: 1_000_000)
        #expect(console.state.user == "root")
    }

    @Test("Esc in the first menu logs out")
    func escape() {
        var console = ConsoleHarness()
        console.logIn()
        console.press(.escape)
        #expect(console.state.user == nil && console.state.screens.isEmpty)
    }

    @Test("an answer that comes after the logout shows nothing")
    func lateAnswer() {
        var console = ConsoleHarness()
        console.logIn()
        _ = console.state.reduce(.key(.function(12)), now: console.now)
        console.state.logOut()
        console.send(.answer(.login(user: "root", password: ""), .done))
        #expect(console.state.user == nil && console.state.screens.isEmpty)
    }

    @Test("the host is looked at again every few seconds, one look at a time")
    func observing() {
        var state = ConsoleState(size: CellSize(columns: 80, rows: 25), now: 0)
        #expect(state.reduce(.tick, now: 1) == [.ask(.observe)])
        #expect(state.reduce(.tick, now: 60_000_000_000) == [])
        _ = state.reduce(.answer(.observe, .observed(HostObservation())), now: 60_000_000_001)
        #expect(state.reduce(.tick, now: 61_000_000_000) == [.ask(.observe)])
    }

    @Test("settings stay known while their service restarts")
    func settingsStay() {
        var console = ConsoleHarness()
        console.send(.answer(.observe, .observed(HostObservation())))
        #expect(console.state.host.settings != nil)
        #expect(console.state.host.network == nil)
    }
}

@Suite("Changing settings")
struct SettingsTests {
    @Test("two different new passwords are not sent")
    func mismatch() {
        var console = ConsoleHarness()
        console.logIn()
        console.open("Password")
        console.type("correct horse")
        console.press(.tab)
        console.type("correct house")
        console.press(.enter)
        #expect(console.shows("The two new passwords are not the same."))
        #expect(console.asked.count == 1)
    }

    @Test("a password is set, and asked for from then on")
    func password() {
        var console = ConsoleHarness()
        console.logIn()
        console.open("Password")
        console.type("correct horse")
        console.press(.tab)
        console.type("correct horse")
        console.press(.enter)
        #expect(console.shows("The password has been changed."))
        console.press(.enter, .escape, .function(2), .enter)
        #expect(console.shows("is wrong"))
        console.type("correct horse")
        console.press(.enter)
        #expect(console.shows("Host Settings"))
        console.open("Password")
        #expect(console.shows("Present password"))
    }

    @Test("a refused password says why and the dialog stays")
    func weak() {
        var console = ConsoleHarness()
        console.logIn()
        console.open("Password")
        console.type("abc")
        console.press(.tab)
        console.type("abc")
        console.press(.enter)
        #expect(console.shows("too short") && console.shows("New password"))
    }

    @Test("lockdown is switched by the space bar")
    func lockdown() {
        var console = ConsoleHarness()
        console.logIn()
        console.open("Lockdown Mode")
        console.press(.space, .enter)
        #expect(console.settings.access.lockdown)
        #expect(console.shows("On"))
        console.press(.escape)
        #expect(console.shows("Lockdown mode is on."))
    }

    @Test("a chosen keyboard layout is saved and used")
    func keyboard() {
        var console = ConsoleHarness()
        console.logIn()
        console.open("Keyboard Layout")
        console.press(.down, .space, .enter)
        #expect(console.settings.console.keyboard == "de")
        #expect(console.effects.contains(.setKeyboard("de")))
    }

    @Test("the idle time is in minutes, and nonsense is refused", arguments: ["", "x", "-1", "1441", "99999"])
    func idleTime(text: String) {
        var console = ConsoleHarness()
        console.logIn()
        console.open("Troubleshooting")
        console.open("Console Idle Time")
        console.clear()
        console.type(text)
        console.press(.enter)
        #expect(console.shows("Enter minutes as a whole number from 0 to 1440."))
        console.clear()
        console.type("30")
        console.press(.enter)
        #expect(console.settings.console.idleTimeout == 1800)
    }

    @Test("what cannot be saved leaves the dialog open with the reason")
    func unsaved() {
        let services = ChangedServices(reply: { request in
            if case .edit = request {
                .failed("The settings could not be saved: the boot medium is full.")
            } else {
                nil
            }
        })
        var console = ConsoleHarness(services)
        console.logIn()
        console.open("Lockdown Mode")
        console.press(.space, .enter)
        #expect(console.shows("the boot medium is full") && console.shows("[x] Lockdown mode"))
    }

    @Test("entries that need settings say so while there are none")
    func noSettings() {
        var console = ConsoleHarness(ChangedServices { $0.settings = nil })
        console.logIn()
        console.open("Lockdown Mode")
        #expect(console.shows("cannot be reached yet"))
        #expect(console.asked.count == 1)
    }

    @Test(
        "a dangerous entry needs F11, and Enter does nothing",
        arguments: [
            ("Restart Management Network", ServiceRequest.restartNetwork),
            ("Disable Management Network", .edit(.managementEnabled(false))),
        ])
    func confirmed(title: String, request: ServiceRequest) {
        var console = ConsoleHarness()
        console.logIn()
        console.open(title)
        console.press(.enter, .escape)
        #expect(!console.asked.contains(request))
        console.open(title)
        console.press(.function(11))
        #expect(console.asked.last == request)
    }

    @Test("a disabled network can be enabled at the same place")
    func enable() {
        var console = ConsoleHarness()
        console.logIn()
        console.open("Disable Management Network")
        console.press(.function(11), .enter)
        #expect(console.settings.network.vmknics.first?.isEnabled == false)
        console.open("Enable Management Network")
        console.press(.function(11), .enter)
        #expect(console.settings.network.vmknics.first?.isEnabled == true)
    }

    @Test("factory reset with running machines needs the box ticked")
    func reset() {
        var console = ConsoleHarness()
        console.logIn()
        console.open("Factory Reset")
        console.press(.function(11))
        #expect(!console.asked.contains(.factoryReset))
        console.press(.space, .function(11))
        #expect(console.asked.last == .factoryReset)
    }

    @Test("all switches are restored only when asked for")
    func restore() {
        var console = ConsoleHarness()
        console.logIn()
        console.open("Restore Network")
        console.press(.enter, .function(11))
        #expect(console.asked.last == .edit(.restoreManagementNetwork))
        console.press(.enter)
        console.open("Restore Network")
        console.press(.down, .space, .enter, .function(11))
        #expect(console.asked.last == .edit(.restoreSwitches))
    }

    @Test("agents are restarted from troubleshooting")
    func agents() {
        var console = ConsoleHarness()
        console.logIn()
        console.open("Troubleshooting")
        console.open("Restart Management Agents")
        console.press(.function(11))
        #expect(console.asked.last == .restartAgents)
        #expect(console.shows("have restarted"))
    }
}
