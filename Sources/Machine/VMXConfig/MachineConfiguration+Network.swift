extension MachineConfiguration {
    /// Reads every present network card.
    static func readNetworkCards(
        _ reader: inout ConfigurationReader, uuid: MachineUUID, newIdentity: inout [IdentityKey]
    ) -> [NetworkCard] {
        var cards: [NetworkCard] = []
        for number in 0..<10 where reader.devices.contains("ethernet\(number)") {
            let name = "ethernet\(number)"
            guard reader.boolean("\(name).present") == true else {
                reader.knowAll(of: name)
                continue
            }
            let type = reader.choice("\(name).addressType", AddressType.self) ?? .generated
            let address = readAddress(name, number, type, uuid: uuid, newIdentity: &newIdentity, &reader)
            if let twin = cards.first(where: { $0.address == address }) {
                let key = type == .fixed ? "\(name).address" : "\(name).generatedAddress"
                reader.fail(key, "\(address) is the address of ethernet\(twin.number) too")
            }
            cards.append(
                NetworkCard(
                    number: number, adapter: readAdapter(name, &reader), address: address, addressType: type,
                    networkName: reader.line("\(name).networkName", limit: 255),
                    connection: reader.choice("\(name).connectionType", NetworkConnection.self),
                    startConnected: reader.boolean("\(name).startConnected") ?? true,
                    tap: readTap("\(name).wafer.tap", &reader),
                    vhost: reader.boolean("\(name).wafer.vhost"),
                    queuePairs: reader.whole("\(name).wafer.queues", of: "queue pairs", in: 1...16) ?? 1))
        }
        return cards
    }

    private static func readAdapter(_ name: String, _ reader: inout ConfigurationReader) -> NetworkAdapter {
        let key = "\(name).virtualDev"
        // VMware's default for 64-bit guests.
        guard reader.text(key) != nil else { return .e1000 }
        guard let adapter = reader.choice(key, NetworkAdapter.self) else { return .e1000 }
        if !adapter.isSupported {
            reader.fail(key, "the adapter \"\(adapter.rawValue)\" is not supported; use \"e1000\" or \"vmxnet3\"")
        }
        return adapter
    }

    private static func readAddress(
        _ name: String, _ number: Int, _ type: AddressType, uuid: MachineUUID, newIdentity: inout [IdentityKey],
        _ reader: inout ConfigurationReader
    ) -> MACAddress {
        reader.know("\(name).generatedAddressOffset")
        let generated = MACAddress.generated(for: uuid, card: number)
        // The key of the other kind may be left over from an earlier choice.
        let keys = (fixed: "\(name).address", generated: "\(name).generatedAddress")
        reader.know(keys.fixed)
        reader.know(keys.generated)
        let key = type == .fixed ? keys.fixed : keys.generated
        guard let text = reader.text(key) else {
            switch type {
            case .generated:
                newIdentity.append(IdentityKey(key: key, value: generated.description))
                newIdentity.append(IdentityKey(key: "\(name).generatedAddressOffset", value: String(10 * number)))
            case .fixed: reader.fail(key, "is missing; addressType \"static\" needs it")
            case .vpx: reader.fail(key, "is missing; addressType \"vpx\" needs the address the manager gave")
            }
            return generated
        }
        guard let address = MACAddress(text) else {
            reader.fail(key, "\(quoted(text)) is not an Ethernet address of six pairs of hexadecimal digits")
            return generated
        }
        if address.isMulticast || address.isZero {
            reader.fail(key, "\(address) cannot be the address of one card")
        } else if type == .fixed, !address.isInStaticRange {
            let range = "00:50:56:00:00:00 to 00:50:56:3f:ff:ff"
            reader.warn(key, "\(address) lies outside the range for static addresses, \(range)")
        } else if type == .vpx, !address.isInManagerRange {
            let range = "00:50:56:80:00:00 to 00:50:56:bf:ff:ff"
            reader.warn(key, "\(address) lies outside the range for managers, \(range)")
        }
        return address
    }

    /// The name of an interface as the kernel allows it: up to 15 bytes without slash, colon and white space.
    private static func readTap(_ key: String, _ reader: inout ConfigurationReader) -> String? {
        guard let name = reader.text(key) else { return nil }
        let bad: [UInt8] = [UInt8(ascii: "/"), UInt8(ascii: ":"), 127]
        guard name.utf8.count <= 15, name != ".", name != "..",
            name.utf8.allSatisfy({ $0 > 32 && !bad.contains($0) })
        else {
            reader.fail(key, "\(quoted(name)) is not the name of a network interface")
            return nil
        }
        return name
    }
}
