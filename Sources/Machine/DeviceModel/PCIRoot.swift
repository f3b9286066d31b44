public import SavedState
import Synchronization

/// A function cannot be plugged in.
public enum PCIError: Error, Equatable, Sendable, CustomStringConvertible {
    case slotTaken(PCIAddress)
    case noFreeSlot
    /// The windows have no room for a BAR of this size.
    case noRoom(UInt64)

    public var description: String {
        switch self {
        case .slotTaken(let address): "PCI slot \(address) is taken"
        case .noFreeSlot: "no PCI slot is free"
        case .noRoom(let count): "the PCI windows have no room for \(count) bytes"
        }
    }
}

/// The PCI host bridge's access mechanisms: configuration through ports 0xCF8/0xCFC and through ECAM, and the functions
/// on bus 0.
///
/// As a device it has two regions: `portRegion` (8 ports from 0xCF8) and `ecamRegion`.
public final class PCIRoot: BusDevice, @unchecked Sendable {
    // @unchecked: all state is immutable, atomic or guarded by a mutex.

    public static let portRegion = 0
    public static let ecamRegion = 1
    /// Where the ports are.
    public static let port: UInt64 = 0xcf8
    /// Devices that hold slots by convention: the host bridge (0) and the ISA bridge (31).
    public static let slots = 1...30

    @safe private struct State {
        var address: UInt32 = 0
        private(set) var functions: [PCIAddress: PCIFunction] = [:]
        /// The same once more, by routing identifier on bus 0: looking up here counts no references.
        private var present = unsafe InlineArray<256, Unmanaged<PCIFunction>?>(repeating: nil)
        var allocator: PCIWindowAllocator
        /// Configuration writes under way, which use their function without counting a reference.
        var writes = 0
        /// Functions unplugged during such a write; they live until none is under way.
        var retired: [PCIFunction] = []

        init(allocator: PCIWindowAllocator) { self.allocator = allocator }

        mutating func set(_ address: PCIAddress, _ function: PCIFunction?) {
            functions[address] = function
            guard address.bus == 0 else { return }
            unsafe present[Int(address.routing)] = unsafe function.map { unsafe .passUnretained($0) }
        }

        /// The function at an address, alive for as long as the lock is held.
        @unsafe func borrowed(_ address: PCIAddress) -> Unmanaged<PCIFunction>? {
            unsafe address.bus == 0 ? present[Int(address.routing)] : nil
        }
    }

    private let state: Mutex<State>
    private let ports: AddressSpace
    private let memory: AddressSpace
    private let interruptLines: [SharedInterruptLine]
    private let resetControl: BusDevice?
    private let isSetUp: Bool

    /// - Parameters:
    ///   - windows: address ranges that BARs are placed in.
    ///   - isSetUp: BARs are placed and functions decode when they are plugged in, as firmware would leave them. False where firmware
    ///     does that.
    ///   - interruptLines: the wires of PIRQ A to H, GSI 16 to 23 in order.
    ///   - resetControl: answers at port 0xCF9, which lies inside this device's ports.
    public init(
        ports: AddressSpace, memory: AddressSpace, windows: PCIWindows, interruptLines: [SharedInterruptLine],
        resetControl: BusDevice? = nil, isSetUp: Bool = true
    ) {
        self.resetControl = resetControl
        self.isSetUp = isSetUp
        self.ports = ports
        self.memory = memory
        self.interruptLines = interruptLines
        state = Mutex(State(allocator: PCIWindowAllocator(windows)))
    }

    /// Index of the PIRQ wire that a device's pin (0 is INTA#) is tied to: Q35's rotation, as the `_PRT` tells the guest.
    public static func interruptRoute(device: UInt8, pin: Int) -> Int {
        device < 25 ? (Int(device) + pin) % 4 + 4 : pin % 4
    }

    // MARK: Plugging

    /// Plugs a function in. Without firmware its BARs are placed and its decoding is turned on.
    ///
    /// - Parameter address: where; nil takes the first free slot.
    /// - Returns: where it sits.
    @discardableResult
    public func plug(_ function: PCIFunction, at address: PCIAddress? = nil) throws(PCIError) -> PCIAddress {
        let result = state.withLock { state -> Result<PCIAddress, PCIError> in
            let place: PCIAddress
            if let address {
                if state.functions[address] != nil { return .failure(.slotTaken(address)) }
                place = address
            } else {
                let free = Self.slots.first { state.functions[PCIAddress(device: UInt8($0))] == nil }
                guard let free else { return .failure(.noFreeSlot) }
                place = PCIAddress(device: UInt8(free))
            }
            do throws(PCIError) {
                function.places = try allocate(function, &state)
            } catch {
                return .failure(error)
            }
            wire(function, at: place)
            state.set(place, function)
            remap(function)
            return .success(place)
        }
        return try result.get()
    }

    private func allocate(_ function: PCIFunction, _ state: inout State) throws(PCIError) -> [UInt64] {
        var places: [UInt64] = []
        if !isSetUp { return places }
        for bar in function.bars {
            guard let start = state.allocator.take(bar) else {
                for (bar, start) in zip(function.bars, places) { state.allocator.give(bar, back: start) }
                throw .noRoom(bar.count)
            }
            places.append(start)
        }
        return places
    }

    /// Ties the interrupt wire, and does what firmware does: BARs, decoding, interrupt line.
    private func wire(_ function: PCIFunction, at place: PCIAddress) {
        function.withSpace { space in
            for (bar, start) in zip(function.bars, function.places) { bar.assign(start, in: &space) }
            if isSetUp, !function.bars.isEmpty {
                let decode = PCIConfigurationSpace.Command.ioSpace | PCIConfigurationSpace.Command.memorySpace
                space.set(PCIConfigurationSpace.Offset.command, space.command | decode)
            }
            let pin: UInt8 = space.get(PCIConfigurationSpace.Offset.interruptPin)
            if pin != 0, !interruptLines.isEmpty {
                let route = Self.interruptRoute(device: place.device, pin: Int(pin) - 1)
                function.intx = interruptLines[route % interruptLines.count].input()
                if isSetUp { space.set(PCIConfigurationSpace.Offset.interruptLine, UInt8(16 + route)) }
            }
        }
    }

    /// Takes a function out. Its BARs stop answering; the caller closes it.
    @discardableResult
    public func unplug(_ address: PCIAddress) -> PCIFunction? {
        state.withLock { state in
            guard let function = state.functions[address] else { return nil }
            state.set(address, nil)
            if state.writes > 0 { state.retired.append(function) }
            function.intx?.set(false)
            moveROM(function, to: nil)
            for (index, bar) in function.bars.enumerated() {
                move(function, index, bar, to: nil)
                if index < function.places.count { state.allocator.give(bar, back: function.places[index]) }
            }
            return function
        }
    }

    /// The function at an address.
    public func function(at address: PCIAddress) -> PCIFunction? { state.withLock { $0.functions[address] } }

    /// All functions in order of address.
    public var functions: [(address: PCIAddress, function: PCIFunction)] {
        state.withLock { state in
            state.functions.sorted { $0.key < $1.key }.map { (address: $0.key, function: $0.value) }
        }
    }

    /// Resets every function; without firmware their BARs are back where they were plugged in.
    public func reset() {
        state.withLock { state in
            state.address = 0
            for (place, function) in state.functions {
                for (index, bar) in function.bars.enumerated() { move(function, index, bar, to: nil) }
                moveROM(function, to: nil)
                function.resetAll()
                wire(function, at: place)
                remap(function)
            }
        }
    }

    // MARK: Saved state

    /// Stops every function for saving, and keeps message interrupts back.
    public func pauseAll() {
        for (_, function) in functions { function.pause() }
        for (_, function) in functions { function.msix?.hold() }
    }

    /// Lets every function go on.
    public func resumeAll() {
        for (_, function) in functions { function.msix?.release() }
        for (_, function) in functions { function.resume() }
    }

    /// Maps every window where the restored configuration spaces have it.
    public func remapAll() {
        state.withLock { state in
            // First all away: one may lie now where another was.
            for function in state.functions.values {
                for (index, bar) in function.bars.enumerated() { move(function, index, bar, to: nil) }
                moveROM(function, to: nil)
            }
            for (_, function) in state.functions.sorted(by: { $0.key < $1.key }) { remap(function) }
        }
    }

    public override var stateVersion: UInt32? { 1 }

    public override func saveState(_ coder: inout FieldCoder) {
        var address = state.withLock { $0.address }
        coder.field(&address, "address register")
    }

    public override func restoreState(_ coder: inout FieldCoder) {
        var address: UInt32 = 0
        coder.field(&address, "address register")
        if coder.failure == nil { state.withLock { $0.address = address } }
    }

    // MARK: Mapping (under the lock)

    private func remap(_ function: PCIFunction) {
        for (index, bar) in function.bars.enumerated() {
            move(function, index, bar, to: function.withSpace { bar.decoded(in: $0) })
        }
        moveROM(function, to: function.withSpace { $0.decodedROM })
    }

    private func moveROM(_ function: PCIFunction, to address: UInt64?) {
        guard let rom = function.expansionROM, function.romMapping != address else { return }
        function.romMapping = address
        rom.moved(to: address)
    }

    private func move(_ function: PCIFunction, _ index: Int, _ bar: PCIBar, to address: UInt64?) {
        let before = function.mappings[index]
        if before == address { return }
        let space = bar.kind == .port ? ports : memory
        if let before { space.unmap(at: before) }
        function.mappings[index] = nil
        // A guest may place a BAR over another device; the one that was there first keeps answering.
        if let address, (try? space.map(function, region: bar.index, at: address, count: bar.count)) != nil {
            function.mappings[index] = address
        }
        function.barMoved(bar.index, to: function.mappings[index])
    }

    // MARK: Configuration access

    private func readConfiguration(_ address: PCIAddress, _ offset: Int, width: Int) -> UInt64 {
        // Under the lock, which keeps the function alive without counting references; a read never waits for a queue.
        state.withLock { state in
            guard let function = unsafe state.borrowed(address) else { return allOnes(width: width) }
            return unsafe function._withUnsafeGuaranteedRef { $0.readConfiguration(offset, width: width) }
        }
    }

    private func writeConfiguration(_ address: PCIAddress, _ offset: Int, width: Int, value: UInt64) {
        // Not under the lock: a device may have to wait for its queues here, and their threads may want the lock.
        let borrowed = unsafe state.withLock { state -> Unmanaged<PCIFunction>? in
            guard let function = unsafe state.borrowed(address) else { return nil }
            state.writes &+= 1
            return unsafe function
        }
        guard let borrowed = unsafe borrowed else { return }
        unsafe borrowed._withUnsafeGuaranteedRef { $0.writeConfiguration(offset, width: width, value: value) }
        // Released outside the lock, which a function that ends may want.
        var ended: [PCIFunction]?
        state.withLock { state in
            // Command and BARs decide what is mapped where. It may have been unplugged meanwhile.
            if offset < 0x34, let function = state.functions[address],
                unsafe borrowed._withUnsafeGuaranteedRef({ $0 === function })
            {
                remap(function)
            }
            state.writes &-= 1
            if state.writes == 0, !state.retired.isEmpty {
                ended = state.retired
                state.retired = []
            }
        }
        _ = ended
    }

    private func target(_ offset: UInt64) -> (PCIAddress, Int) {
        let routing = UInt16(truncatingIfNeeded: offset >> 12)
        return (PCIAddress(routing: routing), Int(truncatingIfNeeded: offset & 0xfff))
    }

    public override func read(region: Int, offset: UInt64, width: Int) -> UInt64 {
        if region == Self.ecamRegion {
            let (address, register) = target(offset)
            return readConfiguration(address, register, width: width)
        }
        if offset < 4 {
            if offset == 0, width == 4 { return UInt64(state.withLock { $0.address }) }
            guard offset == 1, width == 1 else { return allOnes(width: width) }
            return resetControl?.read(region: 0, offset: 0, width: 1) ?? allOnes(width: 1)
        }
        guard let (address, register) = selected(offset) else { return allOnes(width: width) }
        return readConfiguration(address, register, width: width)
    }

    public override func write(region: Int, offset: UInt64, width: Int, value: UInt64) {
        if region == Self.ecamRegion {
            let (address, register) = target(offset)
            writeConfiguration(address, register, width: width, value: value)
        } else if offset < 4 {
            if offset == 0, width == 4 { state.withLock { $0.address = UInt32(truncatingIfNeeded: value) } }
            if offset == 1, width == 1 { resetControl?.write(region: 0, offset: 0, width: 1, value: value) }
        } else if let (address, register) = selected(offset) {
            writeConfiguration(address, register, width: width, value: value)
        }
    }

    /// What 0xCF8 points at: bit 31 enables, 23:16 bus, 15:8 device and function, 7:2 register.
    private func selected(_ offset: UInt64) -> (PCIAddress, Int)? {
        let word = state.withLock { $0.address }
        guard word & 0x8000_0000 != 0 else { return nil }
        let address = PCIAddress(routing: UInt16(truncatingIfNeeded: word >> 8))
        return (address, Int(word & 0xfc) + Int(offset & 3))
    }
}
