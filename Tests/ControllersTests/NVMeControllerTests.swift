import BlockEngine
import BlockTestSupport
import CLinux
import Controllers
import DeviceModel
import Linux
import TestFiles
import Testing
import VirtioTestSupport

@Suite("NVMe controller")
struct NVMeControllerTests {
    private func text(_ bytes: ArraySlice<UInt8>) -> String {
        String(decoding: bytes, as: UTF8.self)
    }

    @Test("the function is VMware's NVMe controller, with MSI-X and a wire")
    func function() throws {
        let rig = try NVMeRig([MemoryBlockBackend(capacity: 1 << 20)])
        #expect(rig.configuration(0, 4) == 0x07f0_15ad)
        #expect(rig.configuration(8, 4) == 0x0108_0200)
        #expect(rig.configuration(0x3d, 1) == 1)
        #expect(rig.capability(0x11) != 0)
        // 1024 entries, contiguous, 4 KiB pages, the NVM command set, version 1.4.
        #expect(rig.read(0, 8) == 0x0000_0020_2801_03ff)
        #expect(rig.read(8) == 0x0001_0400)
        #expect(rig.read(0x1c) == 0)
        // Doorbells read as zero, as do reserved registers.
        #expect(rig.read(0x1000) == 0)
        #expect(rig.read(0x38, 8) == 0)
    }

    @Test("a driver that does what Linux's does finds the controller and its namespaces")
    func discovery() throws {
        let second = MemoryBlockBackend(capacity: 2 << 20, logicalBlock: 4096, identity: "second", isReadOnly: true)
        let rig = try NVMeRig([MemoryBlockBackend(capacity: 1 << 20, identity: "VMWARE-0001"), second])
        rig.enable()
        let (status, controller) = rig.identify(1)
        #expect(status == 0)
        #expect(controller[0..<4] == [0xad, 0x15, 0xad, 0x15])
        #expect(text(controller[4..<24]) == "VMWARE-0001         ")
        #expect(text(controller[24..<64]).hasPrefix("VMware Virtual NVMe Disk   "))
        #expect(controller[77] == 8)  // 1 MiB
        #expect(controller[512...513] == [0x66, 0x44])
        #expect(controller[516] == 2)
        #expect(text(controller[768..<1024]).hasPrefix("nqn.2014-08.com.vmware:nvme:VMWARE-0001\0"))

        #expect(rig.identify(2).data.prefix(12) == [1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0])
        #expect(rig.identify(2, namespace: 1).data.prefix(8) == [2, 0, 0, 0, 0, 0, 0, 0])
        let first = rig.identify(0, namespace: 1).data
        #expect(first[0..<8] == [0, 8, 0, 0, 0, 0, 0, 0])
        #expect(first[130] == 9)
        #expect(first[99] == 0)
        let other = rig.identify(0, namespace: 2).data
        #expect(other[0..<8] == [0, 2, 0, 0, 0, 0, 0, 0])
        #expect(other[130] == 12)
        #expect(other[99] == 1)
        // Each namespace has a name of its own, the same in both places.
        let name = rig.identify(3, namespace: 1).data
        #expect(name[0...1] == [2, 16])
        #expect(name[4..<20] == first[104..<120])
        #expect(first[104..<120] != other[104..<120])

        #expect(rig.identify(0, namespace: 3).status == 0x400b)
        #expect(rig.identify(0, namespace: 0xffff_ffff).status == 0x400b)
        #expect(rig.identify(0x77).status == 0x4002)
        #expect(rig.log.lines == [])
    }

    @Test("a namespace without a name gets none made up, for it would not be unique")
    func namelessDisk() throws {
        let rig = try NVMeRig([MemoryBlockBackend(capacity: 1 << 20, identity: "")])
        rig.enable()
        #expect(rig.identify(3, namespace: 1).data.allSatisfy { $0 == 0 })
        #expect(rig.identify(0, namespace: 1).data[104..<120].allSatisfy { $0 == 0 })
    }

    @Test(
        "what is written can be read, however the pages of the buffer lie",
        arguments: [(512, 0, 0), (4096, 0, 0), (8192, 0, 0), (8192, 512, 0), (65536, 0, 8), (1 << 20, 4092, 4088)])
    func roundTrip(count: Int, offset: Int, listOffset: Int) throws {
        let backend = MemoryBlockBackend(capacity: 4 << 20)
        let rig = try NVMeRig([backend])
        rig.enable()
        let queue = rig.createQueues(1)
        let data = pattern(count, seed: offset)
        let done = NVMeRig.Completion(status: 0, result: 0)
        #expect(rig.writeBlocks(queue, at: 7, data, offset: offset, listOffset: listOffset) == done)
        #expect(Array(backend.bytes[7 * 512..<7 * 512 + count]) == data)
        let (answer, bytes) = rig.readBlocks(queue, at: 7, count: count, offset: offset, listOffset: listOffset)
        #expect(answer == done)
        #expect(bytes == data)
        #expect(rig.log.lines == [])
    }

    @Test("a file behind the block engine holds what the guest wrote, served by threads", .timeLimit(.minutes(1)))
    func realFile() throws {
        try withTemporaryDirectory { directory in
            let path = "\(directory)/disk"
            let file = try Descriptor(opening: path, [.readWrite, .create, .truncate])
            #expect(ftruncate(file.raw, 1 << 20) == 0)
            let backend = try FileBlockBackend([
                .whole(try BlockFile(adopting: file, cached: nil, name: path))
            ])
            let loops = [try EventLoop(name: "io-0"), try EventLoop(name: "io-1")]
            let control = try EventLoop(name: "devices")
            for loop in loops + [control] { try loop.start() }
            do {
                let rig = try NVMeRig([backend], loops: loops, control: control, queues: 4)
                rig.enable()
                let queues = (1...4).map { rig.createQueues($0, size: 8) }
                for round in 0..<20 {
                    for queue in queues {
                        let data = pattern(8192, seed: round + queue.number)
                        let block = UInt64((round * 4 + queue.number - 1) * 16)
                        #expect(rig.writeBlocks(queue, at: block, data)?.status == 0)
                        #expect(rig.readBlocks(queue, at: block, count: 8192).1 == data)
                    }
                }
                #expect(rig.run(queues[0], 0x00, namespace: 1)?.status == 0)
                // Orderly shutdown, then off.
                rig.write(0x14, 0x46_4001)
                while rig.read(0x1c) >> 2 & 3 != 2 {}
                rig.controller.close()
                #expect(rig.log.lines == [])
            }
            for loop in loops + [control] { loop.stop() }
            let written = try Descriptor(opening: path, .readOnly)
            var bytes = [UInt8](repeating: 0, count: 8192)
            #expect(pread(written.raw, &bytes, bytes.count, 0) == bytes.count)
            #expect(bytes == pattern(8192, seed: 1))
        }
    }
}
