import GuestMemory
import Linux
import Virtio
import VirtioTestSupport

/// A machine with one device, whose queues the test serves itself by calling `serve`.
final class DeviceRig {
    let memory: GuestMemory
    let heap: GuestHeap
    let device: VirtioDevice
    let function: VirtioPCIFunction
    let driver: VirtioDriver
    let log = Log()

    init(bytes: Int = 4 << 20, _ make: (GuestMemory) throws -> VirtioDevice) throws {
        memory = try GuestMemory(count: bytes)
        heap = GuestHeap(memory)
        device = try make(memory)
        let log = log
        function = VirtioPCIFunction(
            device, interrupts: nil, binder: nil, control: nil, log: { log.add($0) })
        driver = VirtioDriver(function, heap)
    }

    deinit { function.close() }

    /// Negotiates, sets the first `queues` queues up, and says the driver is ready.
    func start(_ features: VirtioFeatures, queues: Int) -> [any RingDriver] {
        driver.negotiate(features)
        let rings = (0..<queues).map { driver.setUpQueue($0, size: 16) }
        driver.start()
        return rings
    }

    /// Lets the device serve every queue whose doorbell rang, until none does.
    func serve() {
        var served = true
        while served {
            served = false
            for queue in device.queues where queue.doorbell.drain() > 0 {
                queue.ready(.readable)
                served = true
            }
        }
    }

    func kick(_ index: Int) {
        driver.kick(index)
        serve()
    }
}
