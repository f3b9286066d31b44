import Testing

@testable import DCUI

@Suite("Facts about the server")
struct HardwareFactsTests {
    private func facts(
        _ texts: [String: String], _ names: [String: [String]] = [:], hasVirtualization: Bool = true
    ) -> HardwareObservation {
        let facts = HardwareFacts(
            text: { texts[$0] ?? "" }, names: { names[$0] ?? [] }, hasVirtualization: { hasVirtualization })
        return facts.observation
    }

    private func thread(_ number: Int, _ package: Int, _ core: Int) -> String {
        """
        processor\t: \(number)
        model name\t: AMD EPYC 7313P
        physical id\t: \(package)
        core id\t\t: \(core)


        """
    }

    @Test("two sockets of two cores with two threads each")
    func processors() {
        let blocks = (0..<8).map { thread($0, $0 / 4, $0 % 2) }.joined(separator: "\n")
        let hardware = facts(["/proc/cpuinfo": blocks], ["/sys/class/misc": ["kvm", "rtc"]])
        #expect(hardware.packages == 2 && hardware.cores == 4 && hardware.threads == 8)
        #expect(hardware.processor == "AMD EPYC 7313P")
        #expect(hardware.virtualization == .available)
    }

    @Test("without the kernel's device no machine can run, for one of two reasons")
    func virtualization() {
        #expect(facts([:], ["/sys/class/misc": ["rtc"]]).virtualization == .offInFirmware)
        #expect(facts([:], hasVirtualization: false).virtualization == .missing)
    }

    @Test("names that the maker has not filled in are none")
    func firmware() {
        let hardware = facts([
            "/sys/class/dmi/id/sys_vendor": "Example  Systems \n",
            "/sys/class/dmi/id/product_name": "To be filled by O.E.M.\n",
        ])
        #expect(hardware.maker == "Example Systems" && hardware.model == "")
    }

    @Test("memory is counted in blocks, or taken from the kernel's own count")
    func memory() {
        let blocks = ["/sys/devices/system/memory": ["memory0", "memory1", "memory40", "block_size_bytes"]]
        #expect(facts(["/sys/devices/system/memory/block_size_bytes": "8000000\n"], blocks).memory == 384 << 20)
        #expect(facts(["/proc/meminfo": "MemTotal:        1000 kB\nMemFree: 1 kB\n"]).memory == 1_024_000)
        #expect(facts(["/sys/devices/system/memory/block_size_bytes": "ffffffffffffffff"], blocks).memory == 0)
    }

    @Test("a machine that tells nothing has one processor and no name")
    func nothing() {
        let hardware = facts([:])
        #expect(hardware.threads == 1 && hardware.cores == 1 && hardware.memory == 0)
    }
}
