/// Everything an administrator can set on a host: one typed tree, saved as a whole.
public struct HostSettings: SettingsNode {
    /// The first label of the host's name, or a full name.
    public var hostName = "localhost"
    public var network = NetworkSettings()
    public var access = AccessSettings()
    public var console = ConsoleSettings()
    public var time = TimeSettings()
    public var logging = LoggingSettings()
    public var autostart = AutostartSettings()
    /// Virtual machines this host knows, by their `.vmx` files.
    public var machines: [RegisteredMachine] = []

    public init() {}

    public mutating func visit(_ visitor: inout some SettingsVisitor) {
        visitor.value("hostName", &hostName)
        visitor.group("network", &network)
        visitor.group("access", &access)
        visitor.group("console", &console)
        visitor.group("time", &time)
        visitor.group("logging", &logging)
        visitor.group("autostart", &autostart)
        visitor.groups("machines", &machines)
    }
}

/// Who may do what.
public struct AccessSettings: SettingsNode {
    /// The root account's password, hashed (see `PasswordHash`); empty while none is set.
    public var rootPassword = ""
    /// Remote management only through a central manager.
    public var lockdown = false
    /// Failed logins in a row before an account is locked; 0 never locks.
    public var failuresMax: UInt32 = 5
    /// For how long, in seconds.
    public var lockSeconds: UInt32 = 900

    public init() {}

    public mutating func visit(_ visitor: inout some SettingsVisitor) {
        visitor.value("rootPassword", &rootPassword)
        visitor.value("lockdown", &lockdown)
        visitor.value("failuresMax", &failuresMax)
        visitor.value("lockSeconds", &lockSeconds)
    }
}

/// The direct console.
public struct ConsoleSettings: SettingsNode {
    /// A layout's name, as `KeyboardLayout` has them.
    public var keyboard = "us"
    /// Seconds without a key until the direct console logs out; 0 never does.
    public var idleTimeout: UInt32 = 600

    public init() {}

    public mutating func visit(_ visitor: inout some SettingsVisitor) {
        visitor.value("keyboard", &keyboard)
        visitor.value("idleTimeout", &idleTimeout)
    }
}

/// Keeping time.
public struct TimeSettings: SettingsNode {
    public var usesNTP = true
    /// Names or addresses. Empty: those that DHCP names, if any.
    public var servers: [String] = []

    public init() {}

    public mutating func visit(_ visitor: inout some SettingsVisitor) {
        visitor.value("ntp", &usesNTP)
        visitor.values("servers", &servers)
    }
}

/// Where log messages go besides memory.
public struct LoggingSettings: SettingsNode {
    /// `udp://HOST[:PORT]`, `tcp://…` or `tls://…`, each gets every message (RFC 5424).
    public var targets: [String] = []
    /// A directory on a datastore that log files are kept in; empty for none.
    public var directory = ""
    /// Authorities that may vouch for the certificates of `tls://` servers, in PEM, one after the other.
    public var authorities = ""
    /// Servers whose certificates are known by themselves, whoever vouches for them.
    public var certificates: [LogServerCertificate] = []
    /// Whether a `tls://` server has to show who it is. Without it, whoever stands in between reads everything.
    public var checksCertificates = true

    public init() {}

    public mutating func visit(_ visitor: inout some SettingsVisitor) {
        visitor.values("targets", &targets)
        visitor.value("directory", &directory)
        visitor.value("authorities", &authorities)
        visitor.groups("certificates", &certificates)
        visitor.value("checkCertificates", &checksCertificates)
    }
}

/// The certificate of a log server. A server may have several, the next one beside the present one, say.
public struct LogServerCertificate: SettingsNode {
    /// As in `LoggingSettings.targets`.
    public var target = ""
    /// `sha-256:AA:BB:…` (RFC 5425, section 4.2.2).
    public var fingerprint = ""

    public init() {}

    public mutating func visit(_ visitor: inout some SettingsVisitor) {
        visitor.value("target", &target)
        visitor.value("fingerprint", &fingerprint)
    }
}

/// Virtual machines that start and stop with the host.
public struct AutostartSettings: SettingsNode {
    public var isEnabled = false
    /// Seconds between one machine's start and the next one's, unless the machine says otherwise.
    public var startDelay: UInt32 = 120
    /// Seconds a machine gets to stop.
    public var stopDelay: UInt32 = 120
    public var stopAction = StopAction.powerOff

    public enum StopAction: String, SettingsValue, CaseIterable {
        case none, powerOff, guestShutdown, suspend
    }

    public init() {}

    public mutating func visit(_ visitor: inout some SettingsVisitor) {
        visitor.value("enabled", &isEnabled)
        visitor.value("startDelay", &startDelay)
        visitor.value("stopDelay", &stopDelay)
        visitor.value("stopAction", &stopAction)
    }
}

/// A virtual machine in the host's inventory.
public struct RegisteredMachine: SettingsNode {
    /// The absolute path of its `.vmx` file.
    public var file = ""
    /// Its place in the order of automatic starts, from 1; nil: it is not started.
    public var startOrder: UInt32?
    /// Seconds to wait after starting it; nil: the host's.
    public var startDelay: UInt32?
    /// nil: the host's.
    public var stopAction: AutostartSettings.StopAction?

    public init() {}

    public mutating func visit(_ visitor: inout some SettingsVisitor) {
        visitor.value("file", &file)
        visitor.optional("startOrder", &startOrder)
        visitor.optional("startDelay", &startDelay)
        visitor.optional("stopAction", &stopAction)
    }
}
