import HostModel

extension ConsoleState {
    /// What the person in front of the host should know, the most urgent first.
    var warnings: [String] {
        var warnings: [String] = []
        switch host.hardware?.virtualization {
        case .offInFirmware:
            warnings.append("Virtual machines cannot run: virtualization is turned off in the firmware setup.")
        case .missing: warnings.append("Virtual machines cannot run: the processor has no virtualization.")
        case .available, nil: break
        }
        if let network = host.network {
            if network.adapters.isEmpty {
                warnings.append("No network adapter was found, or none that this version has a driver for.")
            } else if !network.adapters.contains(where: \.hasLink) {
                warnings.append("No network adapter has a link: check the cable.")
            }
            if let seconds = network.trialSecondsLeft {
                warnings.append("Network settings are on trial: those from before come back in \(seconds) s.")
            }
            warnings += network.problems
        }
        if let settings = host.settings {
            if settings.access.rootPassword.isEmpty {
                warnings.append("No password is set: press F2, Enter, and choose Password.")
            }
            if let port = settings.network.vmknics.first(where: \.isManagement), !port.isEnabled {
                warnings.append("The management network is disabled.")
            }
            if settings.access.lockdown { warnings.append("Lockdown mode is on.") }
        }
        if host.dataDisks == 0 { warnings.append("There is no disk for virtual machines.") }
        warnings += host.notices
        if let banks = host.banks, banks.isTrial {
            warnings.append("This version runs on trial from bank \(banks.running) until the host has confirmed it.")
        }
        return warnings
    }
}
