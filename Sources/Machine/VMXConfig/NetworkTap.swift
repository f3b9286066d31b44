/// What a machine's taps are called, so that whoever connects them to a switch finds them.
public enum NetworkTap {
    /// `v`, the first four bytes of the machine's UUID, the card's number: within the kernel's 15 bytes.
    public static func name(uuid: MachineUUID, card: Int) -> String {
        let digits = uuid.bytes.prefix(4).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        return "v\(digits)-\(card)"
    }
}
