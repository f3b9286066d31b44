/// Kernel names for what the settings name: a link's name has at most 15 bytes.
public enum LinkNames {
    /// The bridge of a virtual switch: its own name where the kernel takes it.
    public static func bridge(of virtualSwitch: String) -> String {
        isLinkName(virtualSwitch) ? virtualSwitch : "vs-" + hash(virtualSwitch)
    }

    /// The bond of a virtual switch's uplinks: `bond-N` for `vSwitchN`. (`bond0` is what the kernel makes by itself.)
    public static func bond(of virtualSwitch: String) -> String {
        if virtualSwitch.hasPrefix("vSwitch"), virtualSwitch.utf8.count <= 11 {
            let digits = virtualSwitch.dropFirst(7)
            if !digits.isEmpty, digits.utf8.allSatisfy({ (48...57).contains($0) }) { return "bond-\(digits)" }
        }
        return "bond-x" + hash(virtualSwitch)
    }

    /// The end of a vmkernel port's cable that is in the switch.
    public static func plug(of vmknic: String) -> String { vmknic + "p" }

    /// Whether a name can be a vmkernel port's: `vmkN`.
    public static func isVMKNIC(_ name: String) -> Bool {
        guard name.hasPrefix("vmk"), (4...7).contains(name.utf8.count) else { return false }
        return name.dropFirst(3).utf8.allSatisfy { (48...57).contains($0) }
    }

    /// net/core/dev.c, dev_valid_name, and none of the names that other links of a host have.
    private static func isLinkName(_ name: String) -> Bool {
        guard (1...15).contains(name.utf8.count), name != ".", name != "..", name != "lo" else { return false }
        guard name.utf8.allSatisfy({ $0 > 32 && $0 < 127 && $0 != 47 && $0 != 58 }) else { return false }
        return !["vmnic", "vmk", "bond", "vs-", "wafer-"].contains { name.hasPrefix($0) }
    }

    /// FNV-1a, 32 bits: the same name at every start.
    private static func hash(_ text: String) -> String {
        let value = text.utf8.reduce(UInt32(2_166_136_261)) { ($0 ^ UInt32($1)) &* 16_777_619 }
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 8 - digits.count) + digits
    }
}
