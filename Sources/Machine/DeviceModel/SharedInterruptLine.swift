import Synchronization

/// One level-triggered wire that several devices pull: it is up as long as any of them asserts it.
public final class SharedInterruptLine: Sendable {
    private let wire: any InterruptLine
    private let asserted = Mutex<Int>(0)

    public init(_ wire: any InterruptLine) { self.wire = wire }

    /// One device's end of the wire.
    public func input() -> any InterruptLine { Input(self) }

    private final class Input: InterruptLine {
        private let line: SharedInterruptLine
        private let level = Mutex(false)
        init(_ line: SharedInterruptLine) { self.line = line }

        func set(_ level: Bool) {
            let changed = self.level.withLock { present in
                let changed = present != level
                present = level
                return changed
            }
            if changed { line.count(level ? 1 : -1) }
        }
    }

    private func count(_ step: Int) {
        // The wire moves under the lock, so that two devices cannot swap their updates.
        asserted.withLock { count in
            let before = count
            count += step
            if (before == 0) != (count == 0) { wire.set(count > 0) }
        }
    }
}
