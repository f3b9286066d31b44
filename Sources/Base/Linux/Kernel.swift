import CLinux

/// Requests to the kernel as a whole.
public enum Kernel {
    /// Its release, such as `6.1.0-56-amd64`, which names its module directory.
    public static var release: String {
        var names = utsname()
        guard unsafe uname(&names) == 0 else { return "" }
        return unsafe withUnsafeBytes(of: &names.release) { bytes in
            unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
    }

    /// The host's name.
    public static var hostName: String {
        var names = utsname()
        guard unsafe uname(&names) == 0 else { return "" }
        return unsafe withUnsafeBytes(of: &names.nodename) { bytes in
            unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
    }

    /// Sets the host's name.
    public static func setHostName(_ name: String) throws(SystemError) {
        try retrying("set host name", name) { unsafe sethostname(name, name.utf8.count) }
    }

    /// Links a module file into the kernel.
    ///
    /// - Throws: `EEXIST` if it is loaded already, `ENODEV` if it finds nothing to drive and refuses to stay.
    public static func loadModule(_ path: String, parameters: String = "") throws(SystemError) {
        let file = try Descriptor(opening: path, .readOnly)
        let raw = file.raw
        try retrying("load module", path) { unsafe wafer_finit_module(raw, parameters) }
    }

    /// Ctrl-Alt-Del sends SIGINT to PID 1 instead of resetting the machine.
    public static func disableCtrlAltDel() { _ = wafer_disable_ctrl_alt_del() }

    /// What to do with the machine after shutdown.
    public enum Power: UInt8, Sendable {
        case off = 0
        case restart = 1
        case halt = 2
    }

    /// Ends the system at once; nothing is written any more. Returns only if the kernel refuses.
    public static func end(_ power: Power) -> SystemError {
        switch power {
        case .off: _ = wafer_power_off()
        case .restart: _ = wafer_restart()
        case .halt: _ = wafer_halt()
        }
        return SystemError.last("end the system")
    }
}
