import CLinux
import HostModel
import Terminal
import Testing

@testable import DCUI

/// A screen whose picture is kept in `Golden/NAME.txt`. After a wanted change, `WAFER_GOLDEN=write swift test --filter GoldenTests` keeps
/// the new pictures; look at what changed in them.
struct GoldenScreen: CustomTestStringConvertible, Sendable {
    var name: String
    var columns = 80
    var rows = 25
    var services: @Sendable () -> any ConsoleServices = { DemoServices(isSlow: false) }
    var steps: @Sendable (inout ConsoleHarness) -> Void

    var testDescription: String { name }

    init(
        _ name: String, services: @escaping @Sendable () -> any ConsoleServices = { DemoServices(isSlow: false) },
        _ steps: @escaping @Sendable (inout ConsoleHarness) -> Void
    ) {
        self.name = name
        self.services = services
        self.steps = steps
    }

    func large() -> GoldenScreen {
        var screen = self
        screen.name += "-120x40"
        screen.columns = 120
        screen.rows = 40
        return screen
    }

    func low() -> GoldenScreen {
        var screen = self
        screen.name += "-80x24"
        screen.rows = 24
        return screen
    }

    static let status = GoldenScreen("status") { _ in }
    static let starting = GoldenScreen(
        "status-starting",
        services: {
            ChangedServices { observation in
                let version = observation.version
                observation = HostObservation()
                observation.version = version
            }
        }, { _ in })
    static let troubled = GoldenScreen(
        "status-warnings",
        services: {
            ChangedServices { observation in
                observation.hardware?.virtualization = .offInFirmware
                observation.network?.adapters = []
                observation.network?.addresses = []
                observation.network?.trialSecondsLeft = 42
                observation.network?.problems = ["The port group Backup has no switch."]
                observation.dataDisks = 0
                observation.notices = ["There is no state partition: settings are lost when the host restarts."]
                observation.banks?.isTrial = true
                observation.settings?.access.lockdown = true
            }
        }, { _ in })
    static let login = GoldenScreen("login") { $0.press(.function(2)) }
    static let loginWrong = GoldenScreen("login-wrong") {
        $0.press(.function(2))
        $0.type("guess")
        $0.press(.enter)
    }
    static let settings = GoldenScreen("settings") { $0.logIn() }
    static let machines = GoldenScreen("machines") {
        $0.logIn()
        $0.open("Virtual Machines")
        $0.press(.down, .down, .down)
    }
    static let kernelLog = GoldenScreen("log") {
        $0.logIn()
        $0.open("System Logs")
        $0.press(.character("1"))
    }

    static let network = GoldenScreen("network") {
        $0.logIn()
        $0.open("Management Network")
    }

    /// A screen behind an entry of the first menu.
    static func entry(_ title: String, _ name: String) -> GoldenScreen {
        GoldenScreen(name) {
            $0.logIn()
            $0.open(title)
        }
    }

    static func networkEntry(_ title: String, _ name: String) -> GoldenScreen {
        GoldenScreen(name) {
            $0.logIn()
            $0.open("Management Network")
            $0.open(title)
        }
    }

    static let all: [GoldenScreen] = [
        status, starting, troubled, login, loginWrong, settings, machines, kernelLog, network, status.large(),
        troubled.large(), settings.large(), machines.large(), kernelLog.large(), network.large(), status.low(),
        troubled.low(),
        settings.low(), login.low(),
        entry("Password", "password"), entry("Lockdown Mode", "lockdown"),
        entry("Restart Management Network", "restart-network"), entry("Disable Management Network", "disable-network"),
        entry("Restore Network", "restore-network"), entry("Keyboard Layout", "keyboard"),
        entry("Troubleshooting", "troubleshooting"), entry("System Logs", "logs"),
        entry("Support Information", "support"), entry("Factory Reset", "factory-reset"),
        entry("Test Management Network", "test-network"),
        networkEntry("Network Adapters", "adapters"), networkEntry("VLAN", "vlan"), networkEntry("IPv4", "ipv4"),
        networkEntry("IPv6", "ipv6"), networkEntry("DNS and Host Name", "dns"),
        networkEntry("DNS Suffixes", "suffixes-dimmed"),
        GoldenScreen("test-network-done") {
            $0.logIn()
            $0.open("Test Management Network")
            $0.press(.enter)
        },
        GoldenScreen("adapter-details") {
            $0.logIn()
            $0.open("Management Network")
            $0.open("Network Adapters")
            $0.press(.character("d"))
        },
        GoldenScreen("apply-network") {
            $0.logIn()
            $0.open("Management Network")
            $0.open("VLAN")
            $0.type("17")
            $0.press(.enter, .escape)
        },
        GoldenScreen("machine") {
            $0.logIn()
            $0.open("Virtual Machines")
            $0.press(.enter)
        },
        GoldenScreen("machine-autostart") {
            $0.logIn()
            $0.open("Virtual Machines")
            $0.press(.enter)
            $0.open("Automatic Start")
        },
        GoldenScreen("machine-trouble") {
            $0.logIn()
            $0.open("Virtual Machines")
            $0.press(.down, .down, .down, .enter, .enter)
        },
        GoldenScreen("idle-time") {
            $0.logIn()
            $0.open("Troubleshooting")
            $0.open("Console Idle Time")
        },
        GoldenScreen("log-search") {
            $0.logIn()
            $0.open("System Logs")
            $0.press(.character("2"), .character("/"))
            $0.type("link is up")
        },
        GoldenScreen("log-found") {
            $0.logIn()
            $0.open("System Logs")
            $0.press(.character("2"), .home, .character("/"))
            $0.type("LINK is up")
            $0.press(.enter, .character("n"))
        },
        GoldenScreen("power") { $0.press(.function(12), .enter) },
        GoldenScreen("too-small") { $0.send(.resized(CellSize(columns: 60, rows: 20))) },
    ]
}

@Suite("Pictures of every screen")
struct GoldenTests {
    private static let folder = #filePath.split(separator: "/").dropLast().reduce("") { "\($0)/\($1)" } + "/Golden"

    @Test("a screen looks as it did", arguments: GoldenScreen.all)
    func picture(screen: GoldenScreen) throws {
        var harness = ConsoleHarness(screen.services(), columns: screen.columns, rows: screen.rows)
        screen.steps(&harness)
        let path = "\(Self.folder)/\(screen.name).txt"
        if getenv("WAFER_GOLDEN") != nil {
            let file = try #require(fopen(path, "w"))
            fputs(harness.text, file)
            fclose(file)
        }
        #expect(harness.text == read(path))
    }

    @Test("nothing is cut off on the smallest screen", arguments: GoldenScreen.all)
    func nothingCut(screen: GoldenScreen) {
        var harness = ConsoleHarness(screen.services(), columns: 80, rows: 24)
        screen.steps(&harness)
        // An ellipsis that stands for cut text follows a letter; those of ours follow a space.
        for line in harness.text.split(separator: "\n") {
            var before: Character = " "
            for character in line {
                if character == "…" { #expect(before == " ", "cut: \(line)") }
                before = character
            }
        }
    }

    private func read(_ path: String) -> String {
        guard let file = fopen(path, "r") else { return "" }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while case let count = fread(&chunk, 1, chunk.count, file), count > 0 { bytes += chunk[..<count] }
        return String(decoding: bytes, as: UTF8.self)
    }
}
