/// The logs that are kept, and which of them a component writes to.
public enum LogName: String, Sendable, CaseIterable {
    case messages
    case vmkernel
    case hostd
    case config
    case network
    case auth
    case vmx

    /// What a component's lines belong to.
    public init(component: String) {
        self =
            switch component {
            case "kernel": .vmkernel
            case "hostd": .hostd
            case "configd": .config
            case "netd": .network
            case "auth": .auth
            default: component.hasPrefix("vmx") ? .vmx : .messages
            }
    }

    /// For people.
    public var title: String {
        switch self {
        case .messages: "System"
        case .vmkernel: "Kernel"
        case .hostd: "Host agent"
        case .config: "Configuration"
        case .network: "Network"
        case .auth: "Logins"
        case .vmx: "Virtual machines"
        }
    }

    /// Bytes of memory that it may take at most; all together 4 MiB.
    public var capacity: Int {
        switch self {
        case .messages, .vmkernel: 1 << 20
        case .config, .auth: 256 << 10
        case .hostd, .network, .vmx: 512 << 10
        }
    }
}
