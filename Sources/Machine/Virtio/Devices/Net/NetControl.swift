import Linux
import NetEngine

/// The control queue's commands (virtio 1.2, section 5.1.6.5).
///
/// A command is a class byte, a command byte and data, then one writable byte for the answer. Whatever was not
/// negotiated, is unknown or does not parse is answered with an error and changes nothing.
final class NetControl: @unchecked Sendable {
    // @unchecked: used by the thread of the queue that is the control queue.

    private enum Class {
        static let receive: UInt8 = 0
        static let address: UInt8 = 1
        static let vlan: UInt8 = 2
        static let announce: UInt8 = 3
        static let queues: UInt8 = 4
        static let offloads: UInt8 = 5
    }

    private unowned let net: VirtioNet
    private var chain: DescriptorChain

    init(_ net: VirtioNet, _ chain: consuming DescriptorChain) {
        self.net = net
        self.chain = chain
    }

    /// Serves the ring.
    func process(_ queue: VirtioQueue) {
        var left = 64
        repeat {
            queue.ring.disableNotifications()
            while left > 0, queue.next(into: &chain) {
                left -= 1
                let done = perform(net.negotiated)
                let written: UInt32 = chain.store(done ? UInt8(0) : 1) ? 1 : 0
                queue.ring.push(chain, written: written)
            }
            queue.publish()
            if left == 0 { return queue.again() }
        } while queue.ring.enableNotifications()
    }

    private func perform(_ features: VirtioFeatures) -> Bool {
        guard let kind = chain.load(UInt8.self, at: 0), let command = chain.load(UInt8.self, at: 1) else {
            return false
        }
        chain.dropReadable(first: 2)
        switch kind {
        case Class.receive where features.contains(.netControlReceive): return setReceiveMode(command)
        case Class.address: return setAddresses(command, features)
        case Class.vlan where features.contains(.netControlVLAN): return setVLAN(command)
        case Class.announce where features.contains(.netGuestAnnounce) && command == 0:
            net.announced()
            return true
        case Class.queues where features.contains(.netMultiQueue) && command == 0:
            guard let count = chain.load(UInt16.self) else { return false }
            return net.setActivePairs(Int(count))
        case Class.offloads where features.contains(.netControlOffloads) && command == 0:
            guard let word = chain.load(UInt64.self) else { return false }
            return net.setGuestOffloads(VirtioFeatures(rawValue: word))
        default: return false
        }
    }

    /// Commands 0 promiscuous and 1 all multicast; the rest belongs to a feature that is not offered.
    private func setReceiveMode(_ command: UInt8) -> Bool {
        guard command <= 1, let value = chain.load(UInt8.self), value <= 1 else { return false }
        net.updateFilter { filter in
            if command == 0 { filter.isPromiscuous = value == 1 } else { filter.allMulticast = value == 1 }
        }
        return true
    }

    /// Commands 0 replace the list and 1 set the own address.
    private func setAddresses(_ command: UInt8, _ features: VirtioFeatures) -> Bool {
        switch command {
        case 0 where features.contains(.netControlReceive):
            var offset = 0
            guard let unicast = readList(&offset), let multicast = readList(&offset) else { return false }
            net.updateFilter { filter in
                filter.setAddresses(
                    unicast.list + multicast.list, unicastOverflow: unicast.isCut, multicastOverflow: multicast.isCut)
            }
            return true
        case 1 where features.contains(.netControlAddress):
            guard let address = readAddress(at: 0), address.isUnicast else { return false }
            net.setAddress(address)
            return true
        default: return false
        }
    }

    private func readAddress(at offset: Int) -> MACAddress? {
        var value: UInt64 = 0
        for index in 0..<6 {
            guard let byte = chain.load(UInt8.self, at: offset + index) else { return nil }
            value = value << 8 | UInt64(byte)
        }
        return MACAddress(rawValue: value)
    }

    /// A count and that many addresses. More than fit are read over; more than there are make it nil.
    private func readList(_ offset: inout Int) -> (list: [MACAddress], isCut: Bool)? {
        guard let count = chain.load(UInt32.self, at: offset) else { return nil }
        let (length, overflow) = Int(count).multipliedReportingOverflow(by: 6)
        guard !overflow, length <= chain.readableCount - offset - 4 else { return nil }
        offset += 4
        var list: [MACAddress] = []
        for index in 0..<min(Int(count), NetFilter.addressesMax) {
            guard let address = readAddress(at: offset + 6 * index) else { return nil }
            list.append(address)
        }
        offset += length
        return (list, count > NetFilter.addressesMax)
    }

    /// Commands 0 list and 1 delist.
    private func setVLAN(_ command: UInt8) -> Bool {
        guard command <= 1, let identifier = chain.load(UInt16.self), identifier <= 4095 else { return false }
        net.updateFilter { $0.setVLAN(identifier, command == 0) }
        return true
    }
}

/// A queue that is nothing but the control queue.
final class NetControlQueue: VirtioQueue, @unchecked Sendable {
    // @unchecked: as for VirtioQueue; `control` is set while the queue does not run.
    var control: NetControl?

    override func process() { control?.process(self) }
}
