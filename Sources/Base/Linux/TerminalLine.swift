import CLinux

/// A terminal: a virtual console of the kernel, a serial line, a pseudo-terminal.
public struct TerminalLine: ~Copyable, Sendable {
    public let descriptor: Descriptor

    /// Takes over a terminal that is open already, such as standard input's duplicate.
    public init(adopting descriptor: consuming Descriptor) { self.descriptor = descriptor }

    /// Opens a terminal and makes it this process's own: hang-ups, window changes and Ctrl-C of it come here. Whoever had it before
    /// loses it. The process becomes the leader of a session.
    public init(takingOver path: String) throws(SystemError) {
        // Fails if it is a leader already, which is as good.
        _ = setsid()
        // Not waiting for a modem's carrier, which serial consoles do not have.
        let line = try Descriptor(opening: path, [.readWrite, .noControllingTerminal, .nonBlocking])
        descriptor = try Self.prepared(line, path)
    }

    private static func prepared(_ line: consuming Descriptor, _ path: String) throws(SystemError) -> Descriptor {
        guard isTerminal(line.raw) else { throw SystemError(number: ENOTTY, operation: "use", subject: path) }
        var settings = termios()
        if unsafe tcgetattr(line.raw, &settings) == 0 {
            settings.c_cflag |= tcflag_t(CLOCAL | CREAD)
            _ = unsafe tcsetattr(line.raw, TCSANOW, &settings)
        }
        _ = line.setNotWaiting(false)
        // 1 takes it from another session; only root may.
        try line.control(WAFER_TIOCSCTTY, 1, "take over the terminal")
        return line
    }

    /// Columns and rows as the kernel knows them; nil if it does not, which is so for serial lines.
    public var size: (columns: Int, rows: Int)? {
        var size = winsize()
        guard (try? descriptor.control(WAFER_TIOCGWINSZ, &size, "ask for the terminal's size")) != nil, size.ws_col > 0,
            size.ws_row > 0
        else { return nil }
        return (Int(size.ws_col), Int(size.ws_row))
    }

    /// Whether it is one of the kernel's virtual consoles, which have a keyboard of their own (KDGKBTYPE, linux/kd.h).
    public var isVirtualConsole: Bool {
        var type: UInt8 = 0
        return (try? descriptor.control(0x4b33, &type, "ask for the keyboard")) != nil
    }

    /// Says what a key gives (KDSKBENT, linux/kd.h): the table is 1 for Shift plus 2 for AltGr plus 4 for Control, `value` as
    /// linux/keyboard.h has it. It counts for all virtual consoles.
    public func setKey(table: UInt8, code: UInt8, value: UInt16) throws(SystemError) {
        var entry: [UInt8] = [table, code, UInt8(truncatingIfNeeded: value), UInt8(truncatingIfNeeded: value >> 8)]
        try descriptor.control(0x4b47, bytes: &entry, "set the keyboard")
    }
}

/// Whether a descriptor is a terminal.
public func isTerminal(_ descriptor: CInt) -> Bool { isatty(descriptor) == 1 }

extension Descriptor {
    /// Another descriptor for what standard input is.
    public static func standardInput() throws(SystemError) -> Descriptor {
        Descriptor(adopting: try retrying("duplicate standard input") { wafer_fcntl(0, F_DUPFD_CLOEXEC, 0) })
    }
}

/// A variable of the process's environment; nil if it is not set.
public func environmentVariable(_ name: String) -> String? {
    guard let value = unsafe getenv(name) else { return nil }
    return unsafe String(cString: value)
}
