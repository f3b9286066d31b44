import ConfigService
import HostLink
import HostModel
import Linux

/// The configuration agent: settings, boot banks, power.
enum SettingsKeeper {
    /// How often a change is tried again because somebody else changed settings at the same moment.
    private static let attemptsMax = 5

    /// What the agent knows, for a look at the host; parts that it does not tell are nil.
    static func look(into observation: inout HostObservation) {
        guard let client = try? Agent.configuration.connect() else { return }
        if let state = try? client.ask(GetSettings(), milliseconds: 2000) {
            observation.settings = SettingsText.decode(state.text, as: HostSettings.self).0
            observation.notices = state.warnings.map(ServiceFailure.sentence)
        }
        if let banks = try? client.ask(GetBanks(), milliseconds: 2000) { observation.banks = BankObservation(banks) }
    }

    /// Changes settings as they are now.
    static func change(_ edit: SettingsEdit) throws(ServiceFailure) {
        for attempt in 1...attemptsMax {
            let state = try Agent.configuration.ask(GetSettings())
            var settings = SettingsText.decode(state.text, as: HostSettings.self).0
            edit.apply(to: &settings)
            do throws(ServiceError) {
                _ = try Agent.configuration.connect().ask(
                    SetSettings(text: SettingsText.encode(settings), base: state.revision), milliseconds: 30_000)
                return
            } catch {
                if case .refused(let refusal) = error, refusal.reason == .busy, attempt < attemptsMax { continue }
                throw ServiceFailure(error, Agent.configuration.name)
            }
        }
    }

    static func factoryReset() throws(ServiceFailure) {
        _ = try Agent.configuration.ask(FactoryReset(), milliseconds: 30_000)
        _ = try Agent.configuration.ask(Power(.restart))
    }

    /// Asks for it at the configuration agent, and when that does not answer at the first process itself: whoever stands here must
    /// be able to switch the host off.
    static func power(_ action: PowerAction) {
        do throws(ServiceFailure) {
            _ = try Agent.configuration.ask(Power(action == .restart ? .restart : .off))
        } catch {
            // SIGINT restarts, SIGUSR2 powers off.
            Child.signal(1, action == .restart ? 2 : 12)
        }
    }
}

extension BankObservation {
    init(_ status: BankStatus) {
        let banks = status.banks.map { bank in
            var state = "ready"
            if bank.name == status.next {
                state = "tried at the next start"
            } else if bank.name == status.standard {
                state = "starts by itself"
            }
            return Bank(name: bank.name, version: bank.version, state: state)
        }
        self.init(running: status.running, isTrial: status.isTrial, banks: banks)
    }
}
