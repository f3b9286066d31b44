import ConfigService
import HostLink
import Linux

/// `wafer confirm-boot`: tells the configuration agent that this boot is well. PID 1 starts it, so that it need not wait for an answer itself.
public enum ConfirmBootCommand {
    /// The exit status if the bank on trial is damaged: trying again would change nothing.
    static let isDamaged: UInt8 = 2

    public static func run(_ arguments: [String]) -> Int32 {
        guard arguments.isEmpty else {
            writeToStandardError("usage: wafer confirm-boot\n")
            return 64
        }
        do throws(ServiceError) {
            _ = try ServiceClient(ServiceAddress.configuration).ask(ConfirmBoot(), milliseconds: 60_000)
            return 0
        } catch {
            // A host that was not started from a bank has nothing to confirm.
            if case .refused(let refusal) = error, refusal.reason == .notSupported { return 0 }
            writeToStandardError("wafer confirm-boot: \(error)\n")
            if case .refused(let refusal) = error, refusal.reason == .invalid { return Int32(isDamaged) }
            return 1
        }
    }
}
