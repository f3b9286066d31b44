import DeviceModel
public import Virtio

/// A guest's driver for a virtio function: talks to its registers as a kernel would.
public final class VirtioDriver {
    /// Register offsets in BAR 4.
    public enum Register {
        public static let offeredSelect: UInt64 = 0x00
        public static let offered: UInt64 = 0x04
        public static let acceptedSelect: UInt64 = 0x08
        public static let accepted: UInt64 = 0x0c
        public static let configurationVector: UInt64 = 0x10
        public static let queueCount: UInt64 = 0x12
        public static let status: UInt64 = 0x14
        public static let generation: UInt64 = 0x15
        public static let queueSelect: UInt64 = 0x16
        public static let queueSize: UInt64 = 0x18
        public static let queueVector: UInt64 = 0x1a
        public static let queueEnable: UInt64 = 0x1c
        public static let notifyOffset: UInt64 = 0x1e
        public static let descriptors: UInt64 = 0x20
        public static let driver: UInt64 = 0x28
        public static let device: UInt64 = 0x30
        public static let queueReset: UInt64 = 0x3a
        public static let interruptStatus: UInt64 = 0x1000
        public static let configuration: UInt64 = 0x2000
        public static let doorbells: UInt64 = 0x3000
    }

    public let function: VirtioPCIFunction
    public let heap: GuestHeap
    public private(set) var features: VirtioFeatures = []

    public init(_ function: VirtioPCIFunction, _ heap: GuestHeap) {
        self.function = function
        self.heap = heap
    }

    public func read(_ offset: UInt64, _ width: Int) -> UInt64 {
        function.read(region: 4, offset: offset, width: width)
    }

    public func write(_ offset: UInt64, _ width: Int, _ value: UInt64) {
        function.write(region: 4, offset: offset, width: width, value: value)
    }

    public var status: UInt8 {
        get { UInt8(read(Register.status, 1)) }
        set { write(Register.status, 1, UInt64(newValue)) }
    }

    /// What the device offers.
    public var offered: VirtioFeatures {
        write(Register.offeredSelect, 4, 0)
        let low = read(Register.offered, 4)
        write(Register.offeredSelect, 4, 1)
        return VirtioFeatures(rawValue: low | read(Register.offered, 4) << 32)
    }

    /// Resets the device and accepts these of its features.
    ///
    /// - Returns: whether the device agreed.
    @discardableResult
    public func negotiate(_ features: VirtioFeatures) -> Bool {
        status = 0
        status = 1
        status = 3
        self.features = features.union(.version1)
        write(Register.acceptedSelect, 4, 0)
        write(Register.accepted, 4, self.features.rawValue & 0xffff_ffff)
        write(Register.acceptedSelect, 4, 1)
        write(Register.accepted, 4, self.features.rawValue >> 32)
        status = 0xb
        return status == 0xb
    }

    /// Makes a ring of the negotiated kind and enables the queue with it.
    public func setUpQueue(_ index: Int, size: Int, vector: UInt16 = 0xffff) -> any RingDriver {
        let eventIndex = features.contains(.eventIndex)
        let ring: any RingDriver =
            features.contains(.packedRing)
            ? PackedDriver(heap, size: size, eventIndex: eventIndex)
            : SplitDriver(heap, size: size, eventIndex: eventIndex)
        enableQueue(index, ring.layout, vector: vector)
        return ring
    }

    public func enableQueue(_ index: Int, _ places: RingPlaces, vector: UInt16 = 0xffff) {
        write(Register.queueSelect, 2, UInt64(index))
        write(Register.queueSize, 2, UInt64(places.size))
        write(Register.queueVector, 2, UInt64(vector))
        for (register, address) in [
            (Register.descriptors, places.descriptors), (Register.driver, places.driver),
            (Register.device, places.device),
        ] {
            write(register, 4, address & 0xffff_ffff)
            write(register + 4, 4, address >> 32)
        }
        write(Register.queueEnable, 2, 1)
    }

    /// Says the driver is ready.
    public func start() { status = 0xf }

    /// Rings a doorbell.
    public func kick(_ index: Int) { write(Register.doorbells + 4 * UInt64(index), 2, UInt64(index)) }
}
