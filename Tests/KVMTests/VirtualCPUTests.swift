import KVM
import Linux
import Testing

/// What a test of real machines prints when it is skipped.
let skipReason: Comment = "\(KVMSystem.probe()?.description ?? "")"

@Suite("A virtual CPU", .enabled(if: KVMSystem.isAvailable, skipReason))
struct VirtualCPUTests {
    @Test("a write to a port exits with the port, the width and the value")
    func portWrite() throws {
        let payload = try Payload([
            0xB0, 0x42,  // mov al, 0x42
            0xE6, 0x10,  // out 0x10, al
            0xB8, 0x34, 0x12,  // mov ax, 0x1234
            0xBA, 0xF8, 0x03,  // mov dx, 0x3f8
            0xEF,  // out dx, ax
            0xF4,  // hlt
        ])
        let vcpu = payload.vcpu
        #expect(vcpu.run() == .port)
        var access = vcpu.portAccess
        #expect(access.port == 0x10 && access.width == 1 && access.count == 1 && access.isWrite)
        #expect(vcpu.value(of: access) == 0x42)
        #expect(vcpu.run() == .port)
        access = vcpu.portAccess
        #expect(access.port == 0x3F8 && access.width == 2 && access.isWrite)
        #expect(vcpu.value(of: access) == 0x1234)
        #expect(vcpu.value(of: access, at: 1) == 0)
        #expect(vcpu.run() == .halt)
    }

    @Test("a read of a port gives the guest what it was answered")
    func portRead() throws {
        let payload = try Payload([
            0xE4, 0x60,  // in al, 0x60
            0xA2, 0x00, 0x20,  // mov [0x2000], al
            0xF4,  // hlt
        ])
        #expect(payload.vcpu.run() == .port)
        let access = payload.vcpu.portAccess
        #expect(access.port == 0x60 && !access.isWrite)
        payload.vcpu.answer(access, 0x99)
        #expect(payload.vcpu.run() == .halt)
        #expect(payload.byte(at: 0x2000) == 0x99)
    }

    @Test("accesses without memory exit with their address, and reads get their answer")
    func memoryAccess() throws {
        // DS is based at 0x10000, where the memory ends.
        let payload = try Payload([
            0xB8, 0x00, 0x10,  // mov ax, 0x1000
            0x8E, 0xD8,  // mov ds, ax
            0xC7, 0x06, 0x10, 0x00, 0xCD, 0xAB,  // mov word [0x10], 0xabcd
            0xA1, 0x20, 0x00,  // mov ax, [0x20]
            0x26, 0xA3, 0x00, 0x20,  // mov es:[0x2000], ax
            0xF4,  // hlt
        ])
        let vcpu = payload.vcpu
        #expect(vcpu.run() == .memory)
        var access = vcpu.memoryAccess
        #expect(access.address == 0x10010 && access.width == 2 && access.isWrite && access.value == 0xABCD)
        #expect(vcpu.run() == .memory)
        access = vcpu.memoryAccess
        #expect(access.address == 0x10020 && access.width == 2 && !access.isWrite && access.value == 0)
        vcpu.answerMemoryRead(0x5678)
        #expect(vcpu.run() == .halt)
        #expect(payload.word(at: 0x2000) == 0x5678)
    }

    @Test("a requested exit interrupts every run until it is cleared")
    func requestedExit() throws {
        let payload = try Payload([0xF4])
        payload.vcpu.requestExit()
        #expect(payload.vcpu.run() == .interrupted)
        #expect(payload.vcpu.run() == .interrupted)
        #expect(payload.vcpu.isExitRequested)
        payload.vcpu.clearExitRequest()
        #expect(payload.vcpu.run() == .halt)
    }

    @Test("a kick gets a vCPU out of an endless loop")
    func kick() throws {
        let payload = try Payload([
            0xE6, 0x10,  // out 0x10, al
            0xEB, 0xFE,  // jmp $
        ])
        let vcpu = payload.vcpu
        let inGuest = try EventFD()
        let loop = try Thread(name: "vcpu") {
            do { try vcpu.bindToCurrentThread() } catch { Issue.record(error) }
            #expect(vcpu.run() == .port)
            inGuest.signal()
            #expect(vcpu.run() == .interrupted)
            vcpu.unbind()
        }
        while inGuest.drain() == 0 {}
        vcpu.kick()
        loop.join()
    }
}
