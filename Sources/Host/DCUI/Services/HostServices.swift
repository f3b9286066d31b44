import Linux

/// The host this console stands on, by its agents.
public final class HostServices: ConsoleServices {
    public init() {}

    public func answer(_ request: ServiceRequest) -> ServiceAnswer {
        switch request {
        case .observe:
            var observation = HostObservation()
            observation.version = Version.text
            return .observed(observation)
        default: return .failed("The host's agents have not started yet.")
        }
    }
}
