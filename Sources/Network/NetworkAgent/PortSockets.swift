import Addresses
import DHCP
import Linux

/// What a vmkernel port's DHCP and link-local clients send and hear by. Sockets are open only while somebody waits for something:
/// an open one wakes the agent for every packet it hears.
final class PortSockets {
    private let vmknic: String
    private let loop: EventLoop
    private var messageSocket: (socket: PacketSocket, link: UInt32)?
    private var arpSocket: (socket: PacketSocket, link: UInt32)?
    private var udpSocket: InternetSocket?

    var message: ((DHCPMessage) -> Void)?
    var arp: ((ARPPacket) -> Void)?

    /// Frames in a row that are taken before others get their turn.
    private static let batch = 32

    private final class Reader: EventHandler, @unchecked Sendable {
        private let read: () -> Void
        init(_ read: @escaping () -> Void) { self.read = read }
        override func ready(_ events: Readiness) { read() }
    }

    init(_ vmknic: String, on loop: EventLoop) {
        self.vmknic = vmknic
        self.loop = loop
    }

    func close() {
        want(messages: false, arp: false, link: 0)
        closeUDP()
    }

    private func closeUDP() {
        if let udpSocket { loop.unwatch(udpSocket.raw) }
        udpSocket = nil
    }

    func want(messages: Bool, arp: Bool, link: UInt32) {
        if !messages || messageSocket?.link != link, let open = messageSocket {
            loop.unwatch(open.socket.raw)
            messageSocket = nil
        }
        if !messages { closeUDP() }
        if !arp || arpSocket?.link != link, let open = arpSocket {
            loop.unwatch(open.socket.raw)
            arpSocket = nil
        }
        if messages, messageSocket == nil {
            messageSocket = open(.udp(port: DHCPMessage.clientPort), link) { [weak self] in self?.readMessages() }
        }
        if arp, arpSocket == nil { arpSocket = open(.arp, link) { [weak self] in self?.readARP() } }
    }

    private func open(
        _ selection: PacketSocket.Selection, _ link: UInt32, _ read: @escaping () -> Void
    ) -> (socket: PacketSocket, link: UInt32)? {
        // Without a socket nothing is heard, and the clients' timers try again.
        guard let socket = try? PacketSocket(selection, link: link),
            (try? loop.watch(socket.raw, for: .readable, Reader(read))) != nil
        else { return nil }
        return (socket, link)
    }

    private func readMessages() {
        for _ in 0..<Self.batch {
            guard let socket = messageSocket?.socket, let (frame, hasChecksums) = socket.receive() else { return }
            guard let packet = UDPPacket(frame: frame, hasChecksums: hasChecksums),
                packet.sourcePort == DHCPMessage.serverPort, let message = DHCPMessage(packet.payload)
            else { continue }
            self.message?(message)
        }
    }

    private func readARP() {
        for _ in 0..<Self.batch {
            guard let socket = arpSocket?.socket, let (frame, _) = socket.receive() else { return }
            if let packet = ARPPacket(frame: frame) { arp?(packet) }
        }
    }

    private func readUDP() {
        for _ in 0..<Self.batch {
            guard let socket = udpSocket, case .bytes(let bytes, _) = socket.receive() else { return }
            if let message = DHCPMessage(bytes) { self.message?(message) }
        }
    }

    // MARK: Sending. What cannot be sent is as lost as what is lost on the way: it is sent again in time.

    func broadcast(_ message: DHCPMessage, from source: IPv4Address, _ link: VMKernelPort.Link) {
        want(messages: true, arp: arpSocket != nil, link: link.index)
        let packet = UDPPacket(
            sourceMAC: link.macAddress, source: source, destination: IPv4Address(255, 255, 255, 255),
            sourcePort: DHCPMessage.clientPort, destinationPort: DHCPMessage.serverPort, payload: message.bytes)
        try? messageSocket?.socket.send(packet.frame)
    }

    /// The answer comes to the packet socket, too; this one's copy is dropped with it.
    func unicast(_ message: DHCPMessage, from source: IPv4Address?, to server: IPv4Address) {
        guard let source else { return }
        closeUDP()
        guard let socket = try? InternetSocket(.udp), (try? socket.bind(link: vmknic)) != nil,
            (try? socket.bind(source, port: DHCPMessage.clientPort)) != nil
        else { return }
        try? socket.send(message.bytes, to: server, port: DHCPMessage.serverPort)
        // Kept open for the answer, which would be refused by ICMP otherwise.
        guard (try? loop.watch(socket.raw, for: .readable, Reader { [weak self] in self?.readUDP() })) != nil else {
            return
        }
        udpSocket = socket
    }

    func send(_ packet: ARPPacket, _ link: VMKernelPort.Link) {
        if arpSocket == nil { want(messages: messageSocket != nil, arp: true, link: link.index) }
        try? arpSocket?.socket.send(packet.frame)
    }
}
