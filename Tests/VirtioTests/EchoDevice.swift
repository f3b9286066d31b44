import DeviceModel
import GuestMemory
import Linux
import Synchronization
import Virtio
import VirtioTestSupport

/// Writes back what it reads, inverted: enough to see every byte pass through a ring.
final class EchoQueue: VirtioQueue, @unchecked Sendable {
    var chain: DescriptorChain
    var served = 0
    var batch = Int.max

    override init(index: Int, sizeMax: UInt16, ram: GuestRAM, loop: EventLoop?) throws(SystemError) {
        chain = DescriptorChain(ram, capacity: 16)
        try super.init(index: index, sizeMax: sizeMax, ram: ram, loop: loop)
    }

    override func process() {
        var left = batch
        repeat {
            ring.disableNotifications()
            while left > 0, next(into: &chain) {
                left -= 1
                served += 1
                var bytes = [UInt8](repeating: 0, count: chain.readableCount)
                bytes.withUnsafeMutableBytes { _ = chain.gather(into: $0) }
                for index in bytes.indices { bytes[index] = ~bytes[index] }
                let written = bytes.withUnsafeBytes { chain.scatter($0) }
                ring.push(chain, written: UInt32(written))
            }
            publish()
            if left == 0 { return again() }
        } while ring.enableNotifications()
    }
}

final class EchoDevice: VirtioDevice, @unchecked Sendable {
    var configuration: [UInt8] = [1, 2, 3, 4, 5, 6, 7, 8]
    var refused: VirtioFeatures = []
    var events: [String] = []

    override func readConfiguration(_ offset: Int, width: Int) -> UInt64 {
        var registers = DeviceConfiguration()
        for byte in configuration { registers.append(byte) }
        return registers.read(offset, width: width)
    }
    override func writeConfiguration(_ offset: Int, width: Int, value: UInt64) {
        if width == 1, offset < configuration.count { configuration[offset] = UInt8(truncatingIfNeeded: value) }
    }
    override func accepts(_ features: VirtioFeatures) -> Bool { features.isDisjoint(with: refused) }
    override func activate(_ features: VirtioFeatures) { events.append("activate") }
    override func reset() { events.append("reset") }
    override func pause() { events.append("pause") }
    override func resume() { events.append("resume") }
    override func close() { events.append("close") }
}

/// A machine with one echo device.
final class EchoMachine {
    let memory: GuestMemory
    let device: EchoDevice
    let queues: [EchoQueue]
    let interrupts: TestInterrupts
    let binder = TestBinder()
    let function: VirtioPCIFunction
    let driver: VirtioDriver
    let log = Log()

    init(
        queues count: Int = 2, sizeMax: UInt16 = 64, loop: EventLoop? = nil, control: EventLoop? = nil,
        features: VirtioFeatures = [], messages: Bool = true, bytes: Int = 4 << 20
    ) throws {
        memory = try GuestMemory(count: bytes)
        var queues: [EchoQueue] = []
        for index in 0..<count {
            queues.append(try EchoQueue(index: index, sizeMax: sizeMax, ram: memory.ram, loop: loop))
        }
        self.queues = queues
        device = EchoDevice(.entropy, features: features, queues: queues)
        interrupts = try TestInterrupts(count + 1)
        let log = log
        function = VirtioPCIFunction(
            device, interrupts: messages ? interrupts : nil, binder: binder, control: control,
            log: { log.add($0) })
        driver = VirtioDriver(function, GuestHeap(memory))
    }

    deinit { function.close() }

    /// Brings queue 0 up.
    func start(_ features: VirtioFeatures, size: Int = 16) -> any RingDriver {
        driver.negotiate(features)
        let ring = driver.setUpQueue(0, size: size, vector: 0)
        driver.start()
        return ring
    }
}

final class Log: Sendable {
    private let stored = Mutex<[String]>([])
    func add(_ line: String) { stored.withLock { $0.append(line) } }
    var lines: [String] { stored.withLock { $0 } }
}
