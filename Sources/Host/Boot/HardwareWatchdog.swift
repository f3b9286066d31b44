import Linux

/// When the hardware watchdog is told that all is well. No I/O; times are in nanoseconds on the clock of `monotonicNanoseconds`.
///
/// As long as a boot is on trial the agents count, too: a host that nobody can reach must fall back to what worked before.
/// Otherwise only PID 1's own loop does: an agent that is away must not take running guests with it.
struct WatchdogPolicy: Equatable {
    /// So long agents may be unwell while the boot is on trial.
    static let unwellMax: UInt64 = 300_000_000_000

    private var wellAt: UInt64

    init(now: UInt64) { wellAt = now }

    mutating func mayKeepAlive(needsProof: Bool, isWell: Bool, now: UInt64) -> Bool {
        if !needsProof || isWell { wellAt = now }
        return now &- wellAt < Self.unwellMax
    }
}

/// The machine's watchdog in PID 1's hands.
final class HardwareWatchdog {
    /// Seconds until it resets the machine.
    private static let timeout: CInt = 60
    /// While disks are written at the very end, which may take its time.
    private static let lastTimeout: CInt = 600

    private var device: Watchdog?
    private var policy: WatchdogPolicy
    private let interval: UInt64
    private(set) var due: UInt64

    /// - Parameter setting: `wafer.watchdog`: `off`, or the seconds until the reset.
    /// - Returns: nil if there is none, or it is off.
    init?(setting: String?, console: Console) {
        guard setting != "off", fileExists("/dev/watchdog") else { return nil }
        let wanted = setting.flatMap { CInt($0) }.map { min(max($0, 4), 3600) } ?? Self.timeout
        var seconds = wanted
        let now = monotonicNanoseconds()
        do throws(SystemError) {
            let device = try Watchdog()
            do throws(SystemError) { seconds = max(try device.setTimeout(wanted), 4) } catch {
                console.warn("\(error)")
            }
            self.device = consume device
        } catch {
            console.warn("the hardware watchdog is not used: \(error)")
            return nil
        }
        policy = WatchdogPolicy(now: now)
        interval = UInt64(seconds) * 1_000_000_000 / 4
        due = now
        console.note("the hardware watchdog restarts this host if it hangs for \(seconds) s")
    }

    /// Called once a turn of the main loop.
    func advance(needsProof: Bool, isWell: Bool) {
        let now = monotonicNanoseconds()
        guard due <= now else { return }
        due = now &+ interval
        if policy.mayKeepAlive(needsProof: needsProof, isWell: isWell, now: now) { device?.keepAlive() }
    }

    /// Gives what comes after the last turn more time.
    func prepareForEnd() {
        _ = try? device?.setTimeout(Self.lastTimeout)
        device?.keepAlive()
    }

    /// Stops it.
    func stop() { device.take()?.stop() }
}
