import Testing

@testable import VMXConfig

@Suite("Disks, network cards and ports in a .vmx file")
struct DeviceTests {
    let scsi = "scsi0.present = TRUE\nscsi0.virtualDev = wafer-virtio\n"  // lines 3 and 4

    @Test("a disk that cannot be given to the guest is an error")
    func disks() throws {
        let disk = "scsi0:0.present = TRUE\nscsi0:0.fileName = a.vmdk\n"
        #expect(
            errors(adding: "scsi0.present = TRUE\nscsi0.virtualDev = buslogic\n" + disk) == [
                #"debian12.vmx:4: scsi0.virtualDev: the controller "buslogic" is not supported; use "lsilogic""#
            ])
        #expect(
            errors(adding: "scsi0.present = TRUE\nscsi0.virtualDev = nvme\n" + disk) == [
                #"debian12.vmx:4: scsi0.virtualDev: the controller "nvme" is not supported; use "lsilogic""#
            ])
        for name in ["pvscsi", "lsilogic", "lsisas1068", "wafer-virtio", "wafer-virtio-scsi"] {
            #expect(errors(adding: "scsi0.present = TRUE\nscsi0.virtualDev = \(name)\n" + disk) == [])
        }
        #expect(errors(adding: "scsi0.present = TRUE\n" + disk) == [])
        let drive = "scsi0:1.present = TRUE\nscsi0:1.deviceType = cdrom-image\n"
        for (name, count) in [("lsilogic", 2), ("wafer-virtio", 1)] {
            let text = "scsi0.present = TRUE\nscsi0.virtualDev = \(name)\n" + disk + drive
            #expect(try configuration(adding: text).disks.count == count)
        }
        #expect(
            errors(adding: disk) == [
                "debian12.vmx:3: scsi0:0.present: its controller is missing: scsi0.present is not TRUE"
            ])
        #expect(errors(adding: scsi + "scsi0:0.present = TRUE") == ["debian12.vmx: scsi0:0.fileName: is missing"])
        #expect(
            errors(adding: scsi + disk + "scsi0:0.mode = independent-nonpersistent") == [
                #"debian12.vmx:7: scsi0:0.mode: "independent-nonpersistent" is not supported yet"#
            ])
        #expect(errors(adding: scsi + disk + "scsi0:0.mode = odd").count == 1)
        #expect(
            errors(adding: scsi + disk + "scsi0:0.deviceType = scsi-passthru-rdm") == [
                #"debian12.vmx:7: scsi0:0.deviceType: the device type "scsi-passthru-rdm" is not supported yet"#
            ])
        #expect(
            errors(adding: scsi + disk + "scsi0:0.wafer.queues = 65") == [
                #"debian12.vmx:7: scsi0:0.wafer.queues: "65" is not between 1 and 64 queues"#
            ])
        #expect(
            errors(adding: scsi + disk + "scsi0.sharedBus = physical") == [
                #"debian12.vmx:7: scsi0.sharedBus: "physical" is not supported yet"#
            ])
        #expect(
            errors(adding: scsi + disk + "scsi0:1.present = TRUE\nscsi0:1.fileName = a.vmdk") == [
                #"debian12.vmx:8: scsi0:1.fileName: "dir/a.vmdk" is the disk of scsi0:0 too"#
            ])
        #expect(
            errors(adding: "sata0:0.present = TRUE\nsata0:0.fileName = a.vmdk") == [
                "debian12.vmx:3: sata0:0.present: its controller is missing: sata0.present is not TRUE"
            ])
        #expect(
            errors(adding: scsi + "scsi0:7.present = TRUE\nscsi0:7.fileName = a.vmdk") == [
                "debian12.vmx:5: scsi0:7.present: unit 7 belongs to the controller itself"
            ])
    }

    @Test(
        "a device where none can be is an error",
        arguments: [
            "scsi4", "scsi0:16", "scsi0:x", "ide2:0", "ethernet10", "serial4", "nvme0:15", "scsi0:99999999999999999999",
        ])
    func impossible(device: String) {
        #expect(
            errors(adding: "\(device).present = TRUE\n") == [
                "debian12.vmx:3: \(device).present: there is no such place for a device"
            ])
    }

    let card = "ethernet0.present = TRUE\nethernet0.virtualDev = wafer-virtio\n"  // lines 3 and 4

    @Test("a network card that cannot be given to the guest is an error")
    func cards() {
        #expect(
            errors(adding: "ethernet0.present = TRUE\nethernet0.virtualDev = vlance") == [
                #"debian12.vmx:4: ethernet0.virtualDev: the adapter "vlance" is not supported; use "e1000" or "vmxnet3""#
            ])
        #expect(errors(adding: "ethernet0.present = TRUE\nethernet0.virtualDev = ne2000").count == 1)
        #expect(
            errors(adding: card + "ethernet0.wafer.tap = a/b") == [
                #"debian12.vmx:5: ethernet0.wafer.tap: "a/b" is not the name of a network interface"#
            ])
        #expect(errors(adding: card + "ethernet0.wafer.tap = abcdefghijklmnop").count == 1)
        #expect(errors(adding: card + "ethernet0.wafer.queues = 0").count == 1)
        #expect(errors(adding: card + "ethernet0.connectionType = wifi").count == 1)
    }

    @Test("SATA, NVMe and IDE disks hang on their controllers, and a card of which nothing is said is an e1000")
    func controllers() throws {
        let machine = try configuration(
            adding: """
                sata0.present = "TRUE"
                sata0:2.present = "TRUE"
                sata0:2.fileName = "a.vmdk"
                nvme1.present = "TRUE"
                nvme1:0.present = "TRUE"
                nvme1:0.fileName = "b.vmdk"
                ide0:1.present = "TRUE"
                ide0:1.fileName = "c.vmdk"
                ide1:0.present = "TRUE"
                ide1:0.deviceType = "cdrom-image"
                ide1:0.fileName = "d.iso"
                ide1:0.startConnected = "FALSE"
                ethernet0.present = "TRUE"
                """)
        #expect(
            machine.disks.map { "\($0.address) \($0.controller.rawValue) \($0.medium) \($0.path)" } == [
                "sata0:2 ahci disk dir/a.vmdk", "nvme1:0 nvme disk dir/b.vmdk", "ide0:1 ahci disk dir/c.vmdk",
                "ide1:0 ahci optical ",
            ])
        #expect(machine.networkCards.map(\.adapter) == [.e1000])
    }

    @Test("a machine that firmware starts has a screen and USB, one with a kernel has not, unless it says so")
    func screens() throws {
        let firmware = try configuration(adding: "")
        #expect(firmware.hasScreen && firmware.hasUSB && firmware.videoMemory == 16 << 20)
        let direct = try configuration(adding: "wafer.kernel = k\n")
        #expect(!direct.hasScreen && !direct.hasUSB)
        let said = try configuration(
            adding: "wafer.kernel = k\nsvga.present = TRUE\nusb.present = FALSE\nsvga.vramSize = 20000000\n")
        #expect(said.hasScreen && !said.hasUSB && said.videoMemory == 32 << 20)
        let remote = try configuration(
            adding:
                "RemoteDisplay.vnc.enabled = TRUE\nRemoteDisplay.vnc.port = 5901\nRemoteDisplay.vnc.password = secret\n"
        )
        #expect(remote.remoteDisplay == .init(address: nil, port: 5901, password: "secret"))
        #expect(firmware.remoteDisplay == nil)
        #expect(
            errors(adding: "RemoteDisplay.vnc.enabled = TRUE\nRemoteDisplay.vnc.ip = here\n") == [
                #"debian12.vmx:4: RemoteDisplay.vnc.ip: "here" is not an IPv4 address"#
            ])
    }

    @Test("addresses are checked by their type")
    func addresses() throws {
        let fixed = card + "ethernet0.addressType = static\nethernet0.address = "
        #expect(errors(adding: fixed + "00:50:56:3f:ff:ff") == [])
        #expect(try warnings(adding: fixed + "00:50:56:3f:ff:ff") == [])
        #expect(
            try warnings(adding: fixed + "52:54:00:12:34:56") == [
                "debian12.vmx:6: ethernet0.address: 52:54:00:12:34:56 lies outside the range for static addresses, 00:50:56:00:00:00 to 00:50:56:3f:ff:ff"
            ])
        #expect(
            errors(adding: fixed + "01:50:56:00:00:01") == [
                "debian12.vmx:6: ethernet0.address: 01:50:56:00:00:01 cannot be the address of one card"
            ])
        #expect(errors(adding: fixed + "00:00:00:00:00:00").count == 1)
        #expect(
            errors(adding: fixed + "00:50:56") == [
                #"debian12.vmx:6: ethernet0.address: "00:50:56" is not an Ethernet address of six pairs of hexadecimal digits"#
            ])
        #expect(
            errors(adding: card + "ethernet0.addressType = static") == [
                #"debian12.vmx: ethernet0.address: is missing; addressType "static" needs it"#
            ])
        #expect(
            errors(adding: card + "ethernet0.addressType = vpx") == [
                #"debian12.vmx: ethernet0.generatedAddress: is missing; addressType "vpx" needs the address the manager gave"#
            ])
        #expect(
            try warnings(adding: card + "ethernet0.addressType = vpx\nethernet0.generatedAddress = 00:50:56:80:00:01")
                == [])
        #expect(
            try warnings(adding: card + "ethernet0.addressType = vpx\nethernet0.generatedAddress = 00:50:56:c0:00:01")
                .count
                == 1)
        let second = "ethernet1.present = TRUE\nethernet1.virtualDev = wafer-virtio\nethernet1.addressType = static\n"
        #expect(
            errors(adding: fixed + "00:50:56:00:00:01\n" + second + "ethernet1.address = 00-50-56-00-00-01") == [
                "debian12.vmx:10: ethernet1.address: 00:50:56:00:00:01 is the address of ethernet0 too"
            ])
    }

    @Test("generated addresses come from the machine's UUID, ten apart")
    func generated() throws {
        let uuid = try #require(MachineUUID(someUUID))
        #expect(MACAddress.generated(for: uuid, card: 0).description == "00:0c:29:99:15:1f")
        #expect(MACAddress.generated(for: uuid, card: 2).description == "00:0c:29:99:15:33")
        let last = try #require(MachineUUID("00000000-0000-0000-0000-000000ffffff"))
        #expect(MACAddress.generated(for: last, card: 1).description == "00:0c:29:00:00:09")
    }

    @Test("UUIDs are read in VMware's and the usual notation and nothing else")
    func uuids() {
        #expect(MachineUUID(someUUID)?.description == someUUID)
        #expect(MachineUUID("564DEE3C-5206-A3DE-BE4A-739CCC99151F")?.description == someUUID)
        for bad in [
            "", "5 6", someUUID + " 00", "56 4d ee 3c 52 06 a3 de-be 4a 73 9c cc 99 15 1", String(someUUID.dropLast(3)),
        ] {
            #expect(MachineUUID(bad) == nil)
        }
    }

    @Test("a port's back end is checked")
    func ports() throws {
        let serial = "serial0.present = TRUE\nserial0.fileType = "
        #expect(errors(adding: serial + "file") == ["debian12.vmx: serial0.fileName: is missing"])
        #expect(errors(adding: serial + "carrier-pigeon\n").count == 1)
        #expect(
            errors(adding: serial + "network\nserial0.fileName = \"udp://x\"") == [
                #"debian12.vmx:5: serial0.fileName: "udp://x" begins with neither tcp:// nor telnet://"#
            ])
        let long = String(repeating: "x", count: 120)
        #expect(errors(adding: serial + "pipe\nserial0.fileName = " + long).count == 1)
        #expect(errors(adding: serial + "file\nserial0.fileName = " + long).isEmpty)
        #expect(errors(adding: serial + "pipe\nserial0.fileName = x\nserial0.pipe.endPoint = both").count == 1)
        #expect(errors(adding: "wafer.console.present = TRUE").count == 1)
    }

    @Test("foreign text in a message can forge no other line")
    func messages() {
        #expect(quoted("a\nb\u{202e}c\u{1b}[1m") == #""a\u{a}b\u{202e}c\u{1b}[1m""#)
        #expect(quoted(String(repeating: "x", count: 500)).unicodeScalars.count == 123)
    }
}
