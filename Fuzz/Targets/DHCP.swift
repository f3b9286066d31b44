import Addresses
import DHCP

/// What comes from the network while a host looks for an address. The first byte says as what the rest is read: a whole frame, an ARP
/// frame, or a DHCP message, which a client then gets in every state it is in on its way.
func fuzzDHCP(_ bytes: [UInt8]) {
    guard let form = bytes.first else { return }
    let rest = Array(bytes.dropFirst())
    switch form % 4 {
    case 0:
        guard let packet = UDPPacket(frame: rest) else { return }
        // Its own form may differ (options of the IP header are dropped), what it says must not.
        check(UDPPacket(frame: packet.frame) == packet, "a packet reads back as it was written")
        readMessage(packet.payload)
    case 1:
        guard let packet = ARPPacket(frame: rest) else { return }
        check(ARPPacket(frame: packet.frame) != nil, "an ARP packet reads back")
    case 2: readMessage(rest)
    default: runClient(rest)
    }
}

private func readMessage(_ bytes: [UInt8]) {
    guard let message = DHCPMessage(bytes) else { return }
    if let lease = DHCPLease(message) { checkLease(lease) }
    guard var again = DHCPMessage(message.bytes) else { return check(false, "a message reads back as it was written") }
    check(again.yourAddress == message.yourAddress && again.kind == message.kind, "the fixed fields stay")
    // An option that says where others are is obeyed again, to no avail.
    again.options[.overload] = nil
    var plain = message
    plain.options[.overload] = nil
    check(again.options == plain.options, "the options stay")
}

private func checkLease(_ lease: DHCPLease) {
    check((1...32).contains(lease.prefix), "the prefix is one")
    check(lease.renewalSeconds <= lease.rebindingSeconds, "asked for more time before anybody is")
    if let seconds = lease.seconds { check(lease.rebindingSeconds <= seconds, "anybody is asked before the end") }
    for route in lease.routes { check(route.prefix <= 32, "a route's prefix is one") }
}

/// A client on which the input rains: each message with the transaction that the client waits for, some time after the last one.
private func runClient(_ bytes: [UInt8]) {
    let macAddress = MACAddress(number: 0x5254_0012_3456)
    var client = DHCPClient(.init(macAddress: macAddress), seed: 1)
    var now: UInt64 = 1
    var transaction: UInt32 = 0
    func note(_ actions: [DHCPClient.Action]) {
        for action in actions {
            switch action {
            case .broadcast(let message, _), .unicast(let message, _): transaction = message.transaction
            case .configure(let lease): checkLease(lease)
            default: break
            }
        }
    }
    note(client.handle(.linkUp, now: now))
    var rest = bytes[...]
    while let step = rest.popFirst() {
        // No clock that counts from a machine's start gets anywhere near.
        if now > 1 << 62 { return }
        switch step % 4 {
        case 0:
            now = max(now, client.deadline ?? now)
            note(client.handle(.timer, now: now))
        case 1: note(client.handle(.renew, now: now))
        default:
            var message = DHCPMessage(.offer, transaction: transaction, macAddress: macAddress, isReply: true)
            guard let kind = DHCPMessage.Kind(rawValue: (step >> 2) % 9) else { return }
            message.kind = kind
            let number = rest.prefix(4).reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
            rest = rest.dropFirst(4)
            message.yourAddress = IPv4Address(number: number)
            message.options.set(.serverIdentifier, 0x0a00_0001)
            for code: DHCPOptions.Code in [.leaseTime, .renewalTime, .rebindingTime, .subnetMask] {
                message.options[code] = Array(rest.prefix(4))
                rest = rest.dropFirst(4)
            }
            note(client.handle(.message(message), now: now))
        }
        check(client.deadline != nil || client.held?.lease.seconds == nil, "the client never waits for ever")
    }
}
