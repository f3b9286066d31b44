import Addresses

extension MachineConfiguration {
    /// What a standard adapter has; enough for 2560 by 1600 pixels of 32 bits.
    private static let videoMemoryDefault = 16 << 20

    static func readVideoMemory(_ reader: inout ConfigurationReader) -> Int {
        let key = "svga.vramSize"
        guard let size = reader.whole(key, of: "bytes", in: 0...(1 << 30)) else { return videoMemoryDefault }
        // The window that the guest sees is a power of two; VMware's files have all sorts of sizes.
        var rounded = videoMemoryDefault
        while rounded < size, rounded < 64 << 20 { rounded <<= 1 }
        if rounded < size { reader.warn(key, "more than 64 MiB are not supported; the screen gets 64 MiB") }
        return rounded
    }

    static func readRemoteDisplay(_ reader: inout ConfigurationReader) -> RemoteDisplay? {
        let name = "RemoteDisplay.vnc"
        let port = reader.whole("\(name).port", of: "(a TCP port)", in: 1...65535)
        let password = reader.line("\(name).password", limit: 255)
        let address = readAddress("\(name).ip", &reader)
        guard reader.boolean("\(name).enabled") == true else { return nil }
        if password == nil {
            reader.warn(
                "\(name).enabled", "no password is set: everybody who reaches the port sees and works the machine")
        }
        if let password, password.utf8.count > 8 {
            reader.warn("\(name).password", "only its first 8 bytes count in VNC")
        }
        return RemoteDisplay(address: address, port: port.flatMap { UInt16(exactly: $0) } ?? 5900, password: password)
    }

    private static func readAddress(_ key: String, _ reader: inout ConfigurationReader) -> IPv4Address? {
        guard let text = reader.line(key, limit: 64) else { return nil }
        let address = IPv4Address(text)
        if address == nil { reader.fail(key, "\(quoted(text)) is not an IPv4 address") }
        return address
    }

    /// Whether any kind of USB is wanted; a file that says nothing wants it.
    static func readUSB(_ reader: inout ConfigurationReader) -> Bool {
        let present = ["usb_xhci", "ehci", "usb"].compactMap { reader.boolean("\($0).present") }
        return present.isEmpty || present.contains(true)
    }
}
