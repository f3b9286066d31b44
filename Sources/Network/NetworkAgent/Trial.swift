import HostModel

/// Network settings on trial: those from before come back unless somebody confirms in time. Pure.
///
/// It is written down, so that the time goes on while the agent is started again: three lines, the word `trial 1`, the monotonic
/// clock's nanoseconds when it is over, and the settings from before as text.
struct Trial: Equatable {
    /// When it is over, on the monotonic clock.
    var deadline: UInt64
    /// The network's settings from before.
    var before: NetworkSettings

    init(before: NetworkSettings, seconds: UInt32, now: UInt64) {
        self.before = before
        deadline = now + UInt64(min(max(seconds, 1), Self.secondsMax)) * 1_000_000_000
    }

    static let secondsMax: UInt32 = 3600
    private static let header = "trial 1\n"

    func secondsLeft(now: UInt64) -> UInt32 {
        UInt32(clamping: (max(deadline, now) - now + 999_999_999) / 1_000_000_000)
    }

    var text: String { "\(Self.header)\(deadline)\n\(SettingsText.encode(before))" }

    /// - Returns: nil if the text is no trial, or one that was written before the machine was started.
    init?(text: String, now: UInt64) {
        guard text.hasPrefix(Self.header) else { return nil }
        let rest = text.dropFirst(Self.header.count)
        guard let end = rest.firstIndex(of: "\n"), let deadline = UInt64(rest[..<end]),
            deadline <= now + UInt64(Self.secondsMax) * 1_000_000_000
        else { return nil }
        self.deadline = deadline
        before = SettingsText.decode(String(rest[rest.index(after: end)...]), as: NetworkSettings.self).0
    }
}
