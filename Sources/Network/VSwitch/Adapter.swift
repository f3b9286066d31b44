public import Addresses
public import HostModel

/// A physical adapter that is there now, whatever it is called.
public struct Adapter: Equatable, Sendable {
    /// What the kernel calls it now.
    public var link: String
    /// The one burnt in.
    public var macAddress: MACAddress
    /// Where it sits, as `AdapterSettings.bus`.
    public var bus: String
    public var hasLink: Bool

    public init(link: String, macAddress: MACAddress, bus: String, hasLink: Bool) {
        self.link = link
        self.macAddress = macAddress
        self.bus = bus
        self.hasLink = hasLink
    }
}

/// Which adapter is called what.
public struct AdapterNames: Equatable, Sendable {
    /// `vmnicN` for each adapter's present name.
    public var names: [String: String] = [:]
    /// The settings with what was learned: new adapters, cards that were replaced or moved.
    public var settings: [AdapterSettings] = []

    /// Gives every adapter that is there its lasting name.
    ///
    /// An adapter is the one that the settings know if address and place are the same; else if its address is (it was moved);
    /// else if its place is, and the one known there is gone (it was replaced). Others are new and get the lowest free numbers,
    /// in the order of their places.
    public init(settings: [AdapterSettings], present: [Adapter]) {
        self.settings = settings
        var unnamed = present.sorted { ($0.bus, $0.link) < ($1.bus, $1.link) }
        var free = Set(settings.indices.filter { Self.number(of: settings[$0].name) != nil })
        let same: [(Adapter, AdapterSettings) -> Bool] = [
            { $0.macAddress.description == $1.macAddress && $0.bus == $1.bus },
            { $0.macAddress.description == $1.macAddress },
            { $0.bus == $1.bus && !$0.bus.isEmpty },
        ]
        for isSame in same {
            for adapter in unnamed {
                guard let index = free.sorted().first(where: { isSame(adapter, settings[$0]) }) else { continue }
                free.remove(index)
                unnamed.removeAll { $0 == adapter }
                self.settings[index].macAddress = adapter.macAddress.description
                self.settings[index].bus = adapter.bus
                names[adapter.link] = settings[index].name
            }
        }
        var used = Set(settings.compactMap { Self.number(of: $0.name) })
        for adapter in unnamed {
            var number = 0
            while used.contains(number) { number += 1 }
            used.insert(number)
            var entry = AdapterSettings()
            entry.name = "vmnic\(number)"
            entry.macAddress = adapter.macAddress.description
            entry.bus = adapter.bus
            self.settings.append(entry)
            names[adapter.link] = entry.name
        }
    }

    /// N of `vmnicN`; nil for other names.
    public static func number(of name: String) -> Int? {
        guard name.hasPrefix("vmnic"), name.utf8.count <= 9 else { return nil }
        let digits = name.dropFirst(5)
        guard !digits.isEmpty, digits.utf8.allSatisfy({ (48...57).contains($0) }) else { return nil }
        return Int(digits)
    }

    /// Renames that lead to the wanted names, in an order in which no name is taken twice.
    public var renames: [(from: String, to: String)] {
        let wanted = names.filter { $0.key != $0.value }.sorted { $0.key < $1.key }
        let targets = Set(wanted.map(\.value))
        // An adapter whose present name another one needs steps aside first.
        var result: [(from: String, to: String)] = []
        var last: [(from: String, to: String)] = []
        for (index, (from, to)) in wanted.enumerated() {
            if targets.contains(from) {
                result.append((from, "wafer-nic\(index)"))
                last.append(("wafer-nic\(index)", to))
            } else {
                last.append((from, to))
            }
        }
        return result + last
    }

    public static func == (left: AdapterNames, right: AdapterNames) -> Bool {
        left.names == right.names && left.settings == right.settings
    }
}
