import Linux
import TestFiles
import Testing

@testable import Boot

@Suite("What is wrong with the hardware")
struct DeviceReportTests {
    /// A /sys with these files.
    private func withTree(_ files: [String: String], _ body: (DeviceReport) throws -> Void) throws {
        try withTemporaryDirectory { root in
            for (path, text) in files {
                try FileSystem.makeDirectory(Files.directory(of: "\(root)/\(path)"))
                try FileSystem.write(text, to: "\(root)/\(path)")
            }
            try body(DeviceReport(root: root))
        }
    }

    @Test("controllers without a driver are named by what they are, number and place; others are not")
    func withoutDriver() throws {
        let pci = "bus/pci/devices"
        let usb = "bus/usb/devices"
        try withTree([
            "\(pci)/0000:03:00.0/class": "0x020000\n", "\(pci)/0000:03:00.0/vendor": "0x8086\n",
            "\(pci)/0000:03:00.0/device": "0x1572\n",
            "\(pci)/0000:04:00.0/class": "0x010700\n", "\(pci)/0000:04:00.0/vendor": "0x1000\n",
            "\(pci)/0000:04:00.0/device": "0x00af\n", "\(pci)/0000:04:00.0/driver": "",
            "\(pci)/0000:05:00.0/class": "0x030000\n",
            "\(usb)/1-1/idVendor": "0bda\n", "\(usb)/1-1/idProduct": "8153\n", "\(usb)/1-1:2.0/bInterfaceClass": "02\n",
            "\(usb)/1-2:1.0/bInterfaceClass": "03\n",
        ]) { report in
            #expect(
                report.withoutDriver() == [
                    "The network card 8086:1572 in slot 0000:03:00.0 has no driver: it cannot be used.",
                    "The USB network adapter 0bda:8153 has no driver: it cannot be used.",
                ])
        }
    }

    @Test("a stick, a drive for media and a memory disk are no disks, an adapter without hardware is no card")
    func missing() throws {
        var files = [
            "block/sda/device/x": "", "block/sda/removable": "1", "block/sr0/device/x": "", "block/sr0/removable": "0",
            "block/loop0/removable": "0", "class/net/lo/mtu": "1",
        ]
        try withTree(files) { report in
            let texts = report.all(hasKVM: false, hasVirtualisation: true).flatMap(\.texts)
            #expect(texts.count == 3)
            #expect(texts.first?.contains("turned off in this server's firmware") == true)
            #expect(
                report.all(hasKVM: false, hasVirtualisation: false).first?.texts.first?.contains("has no hardware")
                    == true)
        }
        files["block/nvme0n1/device/x"] = ""
        files["class/net/vmnic0/device/x"] = ""
        try withTree(files) { #expect($0.all(hasKVM: true, hasVirtualisation: true).flatMap(\.texts) == []) }
    }

    @Test("crash records are moved out of the firmware's memory")
    func crashes() throws {
        try withTemporaryDirectory { root in
            try FileSystem.makeDirectory("\(root)/pstore")
            #expect(try CrashRecords.move(from: "\(root)/pstore", to: "\(root)/crash") == 0)
            try FileSystem.write("Oops", to: "\(root)/pstore/dmesg-efi-1")
            #expect(try CrashRecords.move(from: "\(root)/pstore", to: "\(root)/crash") == 1)
            #expect(try listDirectory("\(root)/pstore") == [])
            #expect(try FileSystem.text(of: "\(root)/crash/dmesg-efi-1") == "Oops")
        }
    }

    @Test("a file system is mounted by its label only if that asks for it and is a fit name")
    func labels() {
        #expect(DataDisk.automaticDirectory(label: "vmdata") == "/vms/vmdata")
        #expect(DataDisk.automaticDirectory(label: "wafer-2") == "/vms/wafer-2")
        for label in ["", "data", "vm/../etc", "vm x", "VM1"] {
            #expect(DataDisk.automaticDirectory(label: label) == nil)
        }
    }

    @Test("the watchdog is kept alive by PID 1 alone, but on trial also needs the agents")
    func watchdog() {
        var policy = WatchdogPolicy(now: 0)
        let max = WatchdogPolicy.unwellMax
        var alive = policy.mayKeepAlive(needsProof: true, isWell: false, now: max - 1)
        #expect(alive)
        alive = policy.mayKeepAlive(needsProof: true, isWell: false, now: max)
        #expect(!alive)
        alive = policy.mayKeepAlive(needsProof: true, isWell: true, now: max)
        #expect(alive)
        alive = policy.mayKeepAlive(needsProof: false, isWell: false, now: 10 * max)
        #expect(alive)
    }
}
