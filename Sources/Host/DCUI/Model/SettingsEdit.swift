public import HostModel

/// A change to the host's settings that a person made here. It is applied to the settings as they are at that moment, so that what
/// others changed meanwhile stays.
public enum SettingsEdit: Equatable, Sendable {
    case lockdown(Bool)
    case keyboard(String)
    /// Seconds; 0: never.
    case idleTimeout(UInt32)
    case managementNetwork(ManagementNetwork)
    /// Whether the management port is up.
    case managementEnabled(Bool)
    /// Addresses, VLAN, adapters and names of the management network as a new host has them.
    case restoreManagementNetwork
    /// Every switch, port group and vmkernel port as a new host has them.
    case restoreSwitches
    case autostart(Bool)

    public func apply(to settings: inout HostSettings) {
        switch self {
        case .lockdown(let isOn): settings.access.lockdown = isOn
        case .keyboard(let name): settings.console.keyboard = name
        case .idleTimeout(let seconds): settings.console.idleTimeout = seconds
        case .managementNetwork(let network): network.apply(to: &settings)
        case .managementEnabled(let isOn):
            for index in settings.network.vmknics.indices where settings.network.vmknics[index].isManagement {
                settings.network.vmknics[index].isEnabled = isOn
            }
        case .restoreManagementNetwork:
            ManagementNetwork(HostSettings()).apply(to: &settings)
            // A new host can be reached.
            SettingsEdit.managementEnabled(true).apply(to: &settings)
        case .restoreSwitches:
            // The adapters' names are facts about the server, not choices.
            let adapters = settings.network.adapters
            settings.network = NetworkSettings()
            settings.network.adapters = adapters
        case .autostart(let isOn): settings.autostart.isEnabled = isOn
        }
    }
}
