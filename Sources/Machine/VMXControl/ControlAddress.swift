import Linux

/// Where a VM's control socket is.
public enum ControlAddress {
    /// The socket of the VM that a `.vmx` file describes: as its `wafer.control` says, otherwise beside the file, with
    /// `.sock` for `.vmx`.
    public static func socket(forFile path: String, configured: String? = nil) -> String {
        if let configured { return configured }
        return (path.hasSuffix(".vmx") ? String(path.dropLast(4)) : path) + ".sock"
    }
}
