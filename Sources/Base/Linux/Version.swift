/// Which Wafer this is.
public enum Version {
    /// Major, minor, patch: what `wafer --version` says.
    public static let text = "0.1.0"
}
