import CLinux

/// The hardware watchdog: it resets the machine if nobody says in time that all is well (Linux:
/// Documentation/watchdog/watchdog-api.rst). Opening it starts it.
public struct Watchdog: ~Copyable {
    private let device: Descriptor

    /// - Throws: ENOENT if the machine has none, EBUSY if somebody else has it.
    public init(_ path: String = "/dev/watchdog") throws(SystemError) {
        device = try Descriptor(opening: path, .writeOnly)
    }

    /// Asks for so many seconds until the reset.
    ///
    /// - Returns: what it has now; not every watchdog can have every time.
    public func setTimeout(_ seconds: CInt) throws(SystemError) -> CInt {
        var value = seconds
        try device.control(WAFER_WDIOC_SETTIMEOUT, &value, "set the watchdog's time")
        return value
    }

    /// Says that all is well.
    public func keepAlive() { _ = device.write(some: [0].span) }

    /// Stops it, where the hardware can be stopped: the letter V before it is closed says that this is meant.
    public consuming func stop() { _ = device.write(some: [UInt8(ascii: "V")].span) }
}
