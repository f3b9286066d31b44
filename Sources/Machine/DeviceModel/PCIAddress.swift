/// Where a PCI function sits: bus, device, function.
public struct PCIAddress: Hashable, Sendable, Comparable, CustomStringConvertible {
    public var bus: UInt8
    /// 0...31
    public var device: UInt8
    /// 0...7
    public var function: UInt8

    public init(bus: UInt8 = 0, device: UInt8, function: UInt8 = 0) {
        self.bus = bus
        self.device = device & 31
        self.function = function & 7
    }

    /// From the routing identifier: bus in bits 15:8, device in 7:3, function in 2:0.
    public init(routing: UInt16) {
        bus = UInt8(truncatingIfNeeded: routing >> 8)
        device = UInt8(truncatingIfNeeded: routing >> 3) & 31
        function = UInt8(truncatingIfNeeded: routing) & 7
    }

    public var routing: UInt16 { UInt16(bus) << 8 | UInt16(device) << 3 | UInt16(function) }

    public static func < (left: PCIAddress, right: PCIAddress) -> Bool { left.routing < right.routing }

    /// As `lspci` writes it: "00:1f.0".
    public var description: String {
        func hexadecimal(_ value: UInt8) -> String {
            let text = String(value, radix: 16)
            return text.count < 2 ? "0" + text : text
        }
        return "\(hexadecimal(bus)):\(hexadecimal(device)).\(function)"
    }
}
