import Linux

/// The machine's terminals.
enum Terminals {
    /// Whether there is hardware behind a terminal such as `tty1` or `ttyS0`.
    static func isThere(_ name: String) -> Bool {
        guard fileExists("/dev/\(name)"), fileExists("/sys/class/tty/\(name)") else { return false }
        // The kernel has a fixed number of serial ports; type 0 (PORT_UNKNOWN) is one that nothing was found at.
        return (try? FileSystem.text(of: "/sys/class/tty/\(name)/type")) != "0"
    }
}
