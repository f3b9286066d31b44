import HostModel
import Testing

@Suite("Suspended machines in the list")
struct SuspendedMachineTests {
    @Test("a machine without a process is suspended if its file says so, and off otherwise")
    func states() {
        var description = MachineDescription(displayName: "web")
        description.isSuspended = true
        var inventory = Inventory()
        _ = inventory.update(registered: [], found: [.init(file: "/vm/web.vmx", description: description)])
        #expect(inventory["/vm/web.vmx"]?.power == .suspended)
        #expect(inventory["/vm/web.vmx"]?.power.isOn == false)
        #expect(inventory.change("/vm/web.vmx") { $0.power = .running })
        #expect(inventory["/vm/web.vmx"]?.power == .running)
        _ = inventory.change("/vm/web.vmx") {
            $0.power = .poweredOff
            $0.description.isSuspended = false
        }
        #expect(inventory["/vm/web.vmx"]?.power == .poweredOff)
    }
}
