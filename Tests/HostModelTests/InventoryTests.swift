import Testing

@testable import HostModel

@Suite("Inventory")
struct InventoryTests {
    private func registered(_ file: String, order: UInt32? = nil) -> RegisteredMachine {
        var machine = RegisteredMachine()
        machine.file = file
        machine.startOrder = order
        return machine
    }

    private func found(_ file: String, _ name: String) -> Inventory.Found {
        .init(file: file, description: MachineDescription(displayName: name))
    }

    @Test("machines on disks and machines in settings are one list, by name")
    func merges() {
        var inventory = Inventory()
        let difference = inventory.update(
            registered: [registered("/a.vmx", order: 2), registered("/gone.vmx")],
            found: [found("/z.vmx", "alpha"), found("/a.vmx", "Beta")])
        #expect(inventory.sorted.map(\.name) == ["alpha", "Beta", "gone"])
        #expect(inventory.sorted.map(\.isRegistered) == [false, true, true])
        #expect(inventory["/a.vmx"]?.startOrder == 2)
        #expect(inventory["/gone.vmx"]?.problems == ["/gone.vmx is not there; its disk may be missing"])
        #expect(difference.changed == ["/a.vmx", "/gone.vmx", "/z.vmx"] && difference.removed.isEmpty)
    }

    @Test("a machine whose file has gone goes, unless it runs")
    func removes() {
        var inventory = Inventory()
        _ = inventory.update(registered: [], found: [found("/a.vmx", "a"), found("/b.vmx", "b")])
        #expect((inventory.change("/a.vmx") { $0.power = .running }) == true)
        #expect(inventory.update(registered: [], found: []).removed == ["/b.vmx"])
        #expect(inventory["/a.vmx"]?.power == .running)
        #expect((inventory.change("/a.vmx") { $0.power = .poweredOff }) == true)
        #expect(inventory.update(registered: [], found: []).removed == ["/a.vmx"])
    }

    @Test("settings alone change what is registered, and leave what a machine does")
    func settingsOnly() {
        var inventory = Inventory()
        _ = inventory.update(registered: [], found: [found("/a.vmx", "a")])
        _ = inventory.change("/a.vmx") { $0.power = .paused }
        let difference = inventory.update(registered: [registered("/a.vmx", order: 1)], found: nil)
        #expect(difference.changed == ["/a.vmx"])
        #expect(inventory["/a.vmx"]?.isRegistered == true && inventory["/a.vmx"]?.power == .paused)
        let again = inventory.update(registered: [registered("/a.vmx", order: 1)], found: nil)
        #expect(again.isEmpty)
    }

    @Test("a change that changes nothing is none")
    func noChange() {
        var inventory = Inventory()
        _ = inventory.update(registered: [], found: [found("/a.vmx", "a")])
        #expect((inventory.change("/a.vmx") { $0.power = .poweredOff }) == false)
        #expect((inventory.change("/b.vmx") { $0.power = .running }) == false)
    }

    @Test(
        "a file's name stands for a machine that cannot be read",
        arguments: [("/d/web01.vmx", "web01"), ("/d/.vmx", ".vmx"), ("odd", "odd"), ("/", "/")])
    func names(file: String, name: String) { #expect(Inventory.name(ofFile: file) == name) }
}

@Suite("Events and tasks")
struct HostEventTests {
    @Test("the ring keeps the last events, numbered on")
    func ring() {
        var ring = EventRing(capacity: 4)
        for number in 1...100 {
            #expect(ring.append(HostEvent(time: 0, "event \(number)")).number == UInt64(number))
            #expect(ring.after(0).count == min(number, 4))
        }
        #expect(ring.after(0).map(\.text) == ["event 97", "event 98", "event 99", "event 100"])
        #expect(ring.after(98).map(\.number) == [99, 100])
        #expect(ring.after(0, limit: 1).map(\.number) == [100])
        #expect(ring.after(100).isEmpty && ring.after(.max).isEmpty)
    }

    @Test("tasks that run stay, of the ended ones only the last")
    func tasks() {
        var tasks = TaskList(keptMax: 2)
        let first = tasks.begin("Start a", subject: "/a.vmx", user: "root", now: 1)
        for number in 0..<4 {
            let task = tasks.begin("Start \(number)", subject: "", user: "", now: 2)
            tasks.end(task, failed: number == 3 ? "no disk" : nil, now: 3)
        }
        #expect(tasks.all.map(\.name) == ["Start a", "Start 2", "Start 3"])
        #expect(tasks.all.map(\.state) == [.running, .succeeded, .failed])
        #expect(tasks.all.last?.reason == "no disk")
        tasks.end(first, now: 9)
        tasks.end(first, failed: "again", now: 10)
        #expect(tasks.all.map(\.name) == ["Start 2", "Start 3"])
    }
}
