public import NetEngine

/// What a network card is made with.
public struct AdapterSettings: Sendable {
    /// The card's permanent address.
    public var address: MACAddress
    /// Whether the cable is plugged in at first.
    public var isLinkUp = true

    public init(address: MACAddress, isLinkUp: Bool = true) {
        self.address = address
        self.isLinkUp = isLinkUp
    }
}
