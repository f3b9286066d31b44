import DeviceModel
import Linux
import SavedState

/// What a saved machine was made of: the first section of its state. A machine that is made of something else cannot have it.
struct SavedShape: FieldCoded, Equatable, Sendable {
    static let section = "machine"
    static let version: UInt32 = 1

    /// A device on PCI and where it is.
    struct Place: FieldCoded, Equatable, Sendable {
        var name = ""
        /// The routing identifier.
        var address: UInt16 = 0

        mutating func code(_ coder: inout FieldCoder) {
            coder.text(&name, limit: 255, "device name")
            coder.field(&address, "device address")
        }
    }

    var uuid: [UInt8] = []
    var memory: UInt64 = 0
    var processors: UInt32 = 0
    var coresPerSocket: UInt32 = 0
    var hasFirmware = false
    var nestedVirtualization = false
    /// The host's wall clock when the guest stood still, in nanoseconds since 1970.
    var wallTime: UInt64 = 0
    /// How often the guest was reset since power-on.
    var resets: UInt32 = 0
    var places: [Place] = []

    init() {}

    init(_ machine: Machine, uuid: [UInt8]) {
        self.uuid = uuid
        memory = UInt64(machine.shape.memory)
        processors = UInt32(machine.shape.processors)
        coresPerSocket = UInt32(machine.shape.coresPerSocket)
        hasFirmware = machine.shape.hasFirmware
        nestedVirtualization = machine.shape.nestedVirtualization
        wallTime = Self.now
        resets = UInt32(machine.resets)
        let functions = machine.pci.functions
        for part in machine.parts {
            guard let (address, _) = functions.first(where: { $0.function === part.device }) else { continue }
            places.append(Place(name: part.name, address: address.routing))
        }
    }

    static var now: UInt64 {
        let (seconds, nanoseconds) = wallClock()
        return UInt64(max(seconds, 0)) &* 1_000_000_000 &+ UInt64(nanoseconds)
    }

    mutating func code(_ coder: inout FieldCoder) {
        coder.blob(&uuid, limit: 16, "UUID")
        coder.field(&memory, "memory")
        coder.field(&processors, "processors")
        coder.field(&coresPerSocket, "cores of a socket")
        coder.field(&hasFirmware, "firmware")
        coder.field(&nestedVirtualization, "nested virtualization")
        coder.field(&wallTime, "wall time")
        coder.field(&resets, "resets")
        coder.list(&places, limit: 256, "devices")
    }

    /// What is saved, with the name of its section.
    var encoded: StateSection {
        var (copy, coder) = (self, FieldCoder(writing: Self.version))
        copy.code(&coder)
        return StateSection(name: Self.section, version: Self.version, bytes: coder.bytes)
    }

    init(_ section: StateSection) throws(StateError) {
        guard section.version > 0, section.version <= Self.version else {
            throw .futureVersion(section: section.name, version: section.version, newest: Self.version)
        }
        var coder = FieldCoder(reading: section.bytes, version: section.version)
        self.init()
        code(&coder)
        try coder.finish(section.name)
    }

    /// Refuses a machine that differs.
    func check(_ present: SavedShape) throws(StateError) {
        func same<Value: Equatable>(_ saved: Value, _ here: Value, _ what: String) throws(StateError) {
            if saved != here {
                throw .mismatch(section: Self.section, "it was saved with \(what) \(saved), and has \(here) now")
            }
        }
        guard uuid == present.uuid else {
            throw .mismatch(section: Self.section, "it is another machine's, with another UUID")
        }
        try same(memory, present.memory, "bytes of memory:")
        try same(processors, present.processors, "processors:")
        try same(coresPerSocket, present.coresPerSocket, "cores of a socket:")
        try same(hasFirmware, present.hasFirmware, "firmware:")
        try same(nestedVirtualization, present.nestedVirtualization, "nested virtualization:")
        let (saved, here) = (Set(places.map(\.name)), Set(present.places.map(\.name)))
        guard saved.count == places.count else { throw .badField(section: Self.section, "a device is there twice") }
        if let name = saved.subtracting(here).min() { throw .unknownSection(name) }
        if let name = here.subtracting(saved).min() { throw .missingSection(name) }
    }
}
