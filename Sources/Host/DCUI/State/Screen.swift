import Terminal

/// What covers the screen, or stands in front of what does.
enum Screen: Equatable, Sendable {
    case menu(Menu)
    case form(Form)
    case message(Message)
    case confirmation(Confirmation)
    /// Something takes time; keys do nothing until it is done.
    case busy(String)
    case pager(Pager)
    case machines(selected: Int)
    case networkTest(NetworkTest)

    /// Whether it leaves nothing of what is behind it.
    var isFullScreen: Bool {
        switch self {
        case .menu, .pager, .machines: true
        case .form, .message, .confirmation, .busy, .networkTest: false
        }
    }
}

/// A list of entries, with what the highlighted one is about beside it.
struct Menu: Equatable, Sendable {
    enum Kind: Equatable, Sendable {
        case settings, network, troubleshooting, logs
        /// What can be done with a virtual machine, named by its file.
        case machine(file: String)
    }
    var kind: Kind
    var selected = 0

    init(_ kind: Kind) { self.kind = kind }
}

/// Something to read.
struct Message: Equatable, Sendable {
    var title: String
    var text: String
    var isBad = false
}

/// A question before something is done.
struct Confirmation: Equatable, Sendable {
    enum Action: Equatable, Sendable {
        case restartNetwork, disableNetwork, enableNetwork, applyNetwork, restartAgents, factoryReset
        case restoreManagement, restoreSwitches
        case machine(file: String, MachineAction)
        case power(PowerAction)
        /// Leaves without doing anything, changes included.
        case discardNetwork
    }
    struct Choice: Equatable, Sendable {
        var key: Key
        var label: String
        var action: Action
    }
    var title: String
    var text: String
    var choices: [Choice]
    /// A box that has to be ticked before any choice counts.
    var acknowledgement: String?
    var isAcknowledged = false
    var isDangerous = true
}

/// Tests of the management network, one after another.
struct NetworkTest: Equatable, Sendable {
    enum Verdict: Equatable, Sendable {
        case waiting, running
        case passed(String)
        case failed(String)
    }
    struct Line: Equatable, Sendable {
        var label: String
        var request: ServiceRequest
        var verdict = Verdict.waiting
    }
    var lines: [Line]

    var isDone: Bool {
        lines.allSatisfy {
            switch $0.verdict {
            case .waiting, .running: false
            case .passed, .failed: true
            }
        }
    }
}
