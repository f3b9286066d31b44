import GuestMemory
import Virtio

func fuzzVirtioBlock(_ bytes: [UInt8]) {
    runVirtio(bytes) { memory in
        let disk = FuzzDisk()
        let device = try VirtioBlock(disk.backend, ram: memory.ram, loops: [nil], queueCount: 2, queueSize: 16)
        return (device, { disk.event($0) })
    }
}
