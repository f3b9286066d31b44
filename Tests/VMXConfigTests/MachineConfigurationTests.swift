import TestFiles
import Testing

@testable import VMXConfig

/// Reads a machine from the text of a file called `dir/debian12.vmx`.
func machine(_ text: String) throws(ConfigurationError) -> MachineConfiguration {
    let document = try VMXDocument(parsing: Array(text.utf8), name: "dir/debian12.vmx")
    return try MachineConfiguration(document, newUUID: MachineUUID(random: Array(1...16)))
}

/// The errors of such a file, without the directory's name.
func errors(_ text: String) -> [String] {
    do {
        _ = try machine(text)
        return []
    } catch {
        return error.diagnostics.map { String($0.description.dropFirst(4)) }
    }
}

/// A machine that is well but for the added lines, which begin at line 3.
func errors(adding lines: String) -> [String] { errors("memsize = 64\nuuid.bios = \"\(someUUID)\"\n" + lines) }

func configuration(adding lines: String) throws -> MachineConfiguration {
    try machine("memsize = 64\nuuid.bios = \"\(someUUID)\"\n" + lines)
}

func warnings(adding lines: String) throws -> [String] {
    try machine("memsize = 64\nuuid.bios = \"\(someUUID)\"\n" + lines).warnings.map {
        String($0.description.dropFirst(4))
    }
}

let someUUID = "56 4d ee 3c 52 06 a3 de-be 4a 73 9c cc 99 15 1f"

@Suite("A machine as its .vmx file describes it")
struct MachineConfigurationTests {
    @Test("a complete file gives a complete machine without a warning")
    func complete() throws {
        let machine = try machine(
            """
            .encoding = "UTF-8"
            config.version = "8"
            virtualHW.version = "7"
            displayName = "Debian 12"
            guestOS = "debian12-64"
            uuid.bios = "\(someUUID)"
            uuid.location = "564dee3c-5206-a3de-be4a-739ccc991520"
            memsize = "1024"
            numvcpus = "4"
            cpuid.coresPerSocket = "2"
            firmware = "efi"
            vhv.enable = "TRUE"
            pciBridge0.present = "TRUE"
            tools.syncTime = "TRUE"
            guestinfo.Seed = "a b"
            hypervisor.cpuid.v0 = "FALSE"
            wafer.hypervisor = "VMware"
            wafer.cpuModel = "x86-64-v3"
            wafer.hugePages = "2M"
            wafer.iothreads = "2"
            wafer.diskError = "pause"
            wafer.kernel = "boot/vmlinuz"
            wafer.initrd = "/boot/initrd.img"
            wafer.commandLine = "root=/dev/vda console=ttyS0"
            wafer.rng = "FALSE"
            wafer.balloon.freePageReporting = "FALSE"
            wafer.vsock.cid = "42"
            wafer.vsock.socket = "guest.vsock"
            wafer.control = "control.sock"
            wafer.console.present = "TRUE"
            wafer.console.fileType = "pipe"
            wafer.console.fileName = "console.sock"
            scsi0.present = "TRUE"
            scsi0.virtualDev = "wafer-virtio"
            scsi0:0.present = "TRUE"
            scsi0:0.deviceType = "scsi-hardDisk"
            scsi0:0.fileName = "debian12.vmdk"
            scsi0:0.redo = ""
            scsi0:1.present = "TRUE"
            scsi0:1.fileName = "/dev/sdb"
            scsi0:1.mode = "independent-persistent"
            scsi0:1.writeThrough = "TRUE"
            scsi0:1.wafer.readOnly = "TRUE"
            scsi0:1.wafer.direct = "FALSE"
            scsi0:1.wafer.discard = "FALSE"
            scsi0:1.wafer.queues = "4"
            ethernet0.present = "TRUE"
            ethernet0.virtualDev = "wafer-virtio"
            ethernet0.networkName = "VM Network"
            ethernet0.connectionType = "bridged"
            ethernet0.addressType = "generated"
            ethernet0.generatedAddress = "00:0c:29:99:15:1f"
            ethernet0.generatedAddressOffset = "0"
            ethernet0.wafer.tap = "tap0"
            ethernet0.wafer.vhost = "FALSE"
            ethernet0.wafer.queues = "2"
            serial0.present = "TRUE"
            serial0.fileType = "pipe"
            serial0.fileName = "com1.sock"
            serial0.pipe.endPoint = "client"
            serial0.tryNoRxLoss = "TRUE"
            serial0.yieldOnMsrRead = "TRUE"
            serial1.present = "TRUE"
            serial1.fileType = "network"
            serial1.fileName = "tcp://:7001"
            """)
        #expect(machine.warnings.isEmpty)
        #expect(machine.newIdentity.isEmpty)
        #expect(machine.displayName == "Debian 12")
        #expect(machine.guestOS == "debian12-64")
        #expect(machine.uuid.description == someUUID)
        #expect(machine.locationUUID.description.hasSuffix("15 20"))
        #expect(machine.memoryBytes == 1 << 30)
        #expect(machine.processorCount == 4 && machine.coresPerSocket == 2)
        #expect(machine.firmware == .efi)
        #expect(machine.nestedVirtualization)
        #expect(machine.processorModel == .named("x86-64-v3"))
        #expect(machine.hypervisor == .vmware && !machine.hypervisorVisible)
        #expect(machine.guestVariables == ["seed": "a b"] && machine.toolsSynchronizeTime)
        #expect(machine.hugePages == .twoMegabytes)
        #expect(machine.ioThreadCount == 2)
        #expect(machine.diskErrorPolicy == .pause)
        #expect(
            machine.directBoot
                == .init(
                    kernel: "dir/boot/vmlinuz", initrd: "/boot/initrd.img", commandLine: "root=/dev/vda console=ttyS0"))
        #expect(!machine.hasRandomDevice && machine.hasBalloon && !machine.reportsFreePages)
        #expect(machine.vsock == .init(cid: 42, socket: "dir/guest.vsock"))
        #expect(machine.controlSocket == "dir/control.sock")
        #expect(machine.console == .pipe(path: "dir/console.sock", endPoint: .server))
        #expect(
            machine.disks == [
                .init(
                    address: .init(.scsi, 0, 0), controller: .virtio, path: "dir/debian12.vmdk", mode: .persistent,
                    writeThrough: false, isReadOnly: false, direct: true, discard: true, queueCount: nil, line: 37),
                .init(
                    address: .init(.scsi, 0, 1), controller: .virtio, path: "/dev/sdb", mode: .independentPersistent,
                    writeThrough: true, isReadOnly: true, direct: false, discard: false, queueCount: 4, line: 40),
            ])
        #expect(
            machine.networkCards == [
                .init(
                    number: 0, adapter: .virtio, address: .init(0, 0x0c, 0x29, low: 0x99151f), addressType: .generated,
                    networkName: "VM Network", connection: .bridged, startConnected: true, tap: "tap0", vhost: false,
                    queuePairs: 2)
            ])
        #expect(
            machine.serialPorts == [
                .init(
                    number: 0, backend: .pipe(path: "dir/com1.sock", endPoint: .client), startConnected: true,
                    tryNoRxLoss: true),
                .init(
                    number: 1, backend: .network(uri: "tcp://:7001", endPoint: .server), startConnected: true,
                    tryNoRxLoss: false),
            ])
    }

    @Test("a file that says next to nothing gets VMware's defaults and a new identity")
    func defaults() throws {
        let machine = try machine(
            "ethernet1.present = \"TRUE\"\nethernet1.virtualDev = \"wafer-virtio\"\n")
        #expect(machine.displayName == "debian12")
        #expect(machine.memoryMegabytes == 32)
        #expect(
            machine.warnings.map(\.description) == [
                "dir/debian12.vmx: memsize: is not set; the machine gets 32 megabytes"
            ])
        #expect(machine.processorCount == 1 && machine.coresPerSocket == 1)
        #expect(machine.processorModel == .host && machine.hugePages == .none && machine.firmware == .bios)
        #expect(machine.directBoot == nil && machine.console == nil && machine.vsock == nil)
        #expect(machine.diskErrorPolicy == .pauseWhenFull)
        #expect(machine.hypervisor == .kvm && machine.hypervisorVisible && machine.guestVariables.isEmpty)
        let uuid = "56 4d 03 04 05 06 07 08-09 0a 0b 0c 0d 0e 0f 10"
        #expect(
            machine.newIdentity == [
                .init(key: "uuid.bios", value: uuid), .init(key: "uuid.location", value: uuid),
                .init(key: "ethernet1.generatedAddress", value: "00:0c:29:0e:0f:1a"),
                .init(key: "ethernet1.generatedAddressOffset", value: "10"),
            ])
        #expect(machine.networkCards.first?.address.description == "00:0c:29:0e:0f:1a")
    }

    @Test("a Windows gets Hyper-V's interfaces, unless the file asks for others")
    func hypervisors() throws {
        #expect(try configuration(adding: "guestOS = \"windows2019srvNext-64\"").hypervisor == .hyperv)
        #expect(try configuration(adding: "guestOS = \"Windows9-64\"\nwafer.hypervisor = kvm").hypervisor == .kvm)
        #expect(try configuration(adding: "guestOS = \"debian12-64\"").hypervisor == .kvm)
        #expect(
            errors(adding: "wafer.hypervisor = xen") == [
                #"debian12.vmx:3: wafer.hypervisor: "xen" is none of "kvm", "vmware", "hyperv""#
            ])
    }

    @Test("a new identity is written to the file once and then stays")
    func identity() throws {
        try withTemporaryDirectory { directory in
            let path = directory + "/m.vmx"
            var document = VMXDocument(name: path)
            try document.set("memsize", to: "64")
            try document.set("ethernet0.present", to: "TRUE")
            try document.set("ethernet0.virtualDev", to: "wafer-virtio")
            try document.save(path)
            let first = try MachineConfiguration.load(path)
            #expect(first.newIdentity.count == 4)
            #expect(first.uuid.bytes.prefix(2) == [0x56, 0x4d])
            try first.saveIdentity()
            let second = try MachineConfiguration.load(path)
            #expect(second.newIdentity.isEmpty)
            #expect(second.uuid == first.uuid && second.networkCards == first.networkCards)
            #expect(second.warnings.isEmpty)
        }
    }

    @Test(
        "a bad value names file, line and key",
        arguments: [
            ("numvcpus = 0", #"debian12.vmx:3: numvcpus: "0" is not between 1 and 64 processors"#),
            ("numvcpus = 65", #"debian12.vmx:3: numvcpus: "65" is not between 1 and 64 processors"#),
            ("numvcpus = -1", #"debian12.vmx:3: numvcpus: "-1" is not a whole number of processors"#),
            (
                "NumVCPUs = 99999999999999999999",
                #"debian12.vmx:3: NumVCPUs: "99999999999999999999" is not between 1 and 64 processors"#
            ),
            (
                "numvcpus = 4\ncpuid.coresPerSocket = 3",
                #"debian12.vmx:4: cpuid.coresPerSocket: "3" does not divide the 4 processors of numvcpus"#
            ),
            ("firmware = uefi", #"debian12.vmx:3: firmware: "uefi" is none of "bios", "efi""#),
            (
                "uuid.location = \"56 4d\"",
                #"debian12.vmx:3: uuid.location: "56 4d" is not a UUID of 16 pairs of hexadecimal digits"#
            ),
            ("wafer.hugePages = 4M", #"debian12.vmx:3: wafer.hugePages: "4M" is none of "none", "2M", "1G""#),
            (
                "wafer.cpuModel = \"a b\"",
                #"debian12.vmx:3: wafer.cpuModel: "a b" is not the name of a processor model"#
            ),
            ("wafer.iothreads = 17", #"debian12.vmx:3: wafer.iothreads: "17" is not between 1 and 16 threads"#),
            ("wafer.rng = maybe", #"debian12.vmx:3: wafer.rng: "maybe" is neither TRUE nor FALSE"#),
            (
                "wafer.commandLine = \"a|0Ab\"",
                #"debian12.vmx:3: wafer.commandLine: "a\u{a}b" holds control characters"#
            ),
            (
                "wafer.vsock.cid = 2",
                #"debian12.vmx:3: wafer.vsock.cid: "2" is not between 3 and 4294967294 (a context identifier)"#
            ),
            (
                "uefi.secureBoot.enabled = TRUE",
                "debian12.vmx:3: uefi.secureBoot.enabled: Secure Boot is not supported yet"
            ),
            (
                "pciPassthru0.present = TRUE",
                "debian12.vmx:3: pciPassthru0.present: passing a host device to a guest is not supported yet"
            ),
        ])
    func badValues(lines: String, expected: String) { #expect(errors(adding: lines) == [expected]) }

    @Test(
        "memsize is checked",
        arguments: [
            ("5x2", #"debian12.vmx:1: memsize: "5x2" is not a whole number of megabytes"#),
            ("2", #"debian12.vmx:1: memsize: "2" is not between 4 and 6291456 megabytes"#),
            ("6291460", #"debian12.vmx:1: memsize: "6291460" is not between 4 and 6291456 megabytes"#),
            ("255", #"debian12.vmx:1: memsize: "255" is not a multiple of 4 megabytes"#),
        ])
    func memory(value: String, expected: String) { #expect(errors("memsize = \"\(value)\"") == [expected]) }

    @Test("everything that is wrong is told at once, in file order")
    func several() {
        let found = errors("wafer.rng = x\nmemsize = y\nserial0.present = TRUE\n")
        #expect(
            found == [
                #"debian12.vmx:1: wafer.rng: "x" is neither TRUE nor FALSE"#,
                #"debian12.vmx:2: memsize: "y" is not a whole number of megabytes"#,
                "debian12.vmx: serial0.fileType: is missing",
            ])
    }

    @Test("an unknown key is warned about once; VMware's harmless ones are not")
    func unknown() throws {
        let found = try warnings(
            adding: """
                memsiez = "512"
                nvram = "x.nvram"
                sched.cpu.min = "0"
                svga.vramSize = "4194304"
                ethernet0.present = "FALSE"
                ethernet0.whatever = "1"
                scsi0.present = "TRUE"
                scsi0.virtualDev = "wafer-virtio"
                scsi0.pciSlotNumber = "16"
                scsi0.colour = "red"
                vmci0.id = "1"
                """)
        #expect(
            found == [
                "debian12.vmx:3: memsiez: is not a key Wafer knows",
                "debian12.vmx:12: scsi0.colour: is not a key Wafer knows",
            ])
    }

    @Test("devices a machine runs well without are left out with a warning")
    func leftOut() throws {
        let found = try warnings(
            adding: """
                floppy0.present = "TRUE"
                floppy0.fileName = "a.img"
                nvme0:5.present = "TRUE"
                nvme0:5.deviceType = "cdrom-image"
                nvme0:5.fileName = "a.iso"
                usb:1.present = "TRUE"
                sound.present = "FALSE"
                serial0.present = "TRUE"
                serial0.fileType = "thinprint"
                scsi1.present = "TRUE"
                scsi1.virtualDev = "buslogic"
                scsi0:3.fileName = "forgotten.vmdk"
                wafer.initrd = "x"
                """)
        #expect(
            found == [
                "debian12.vmx:3: floppy0.present: floppy drives are not supported yet; the device is left out",
                "debian12.vmx:6: nvme0:5.deviceType: nvme controllers have no CD drives; the drive is left out",
                "debian12.vmx:11: serial0.fileType: \"thinprint\" is not supported; the port is left out",
                "debian12.vmx:13: scsi1.virtualDev: the controller \"buslogic\" is not supported; use \"lsilogic\"",
                "debian12.vmx:14: scsi0:3.fileName: is left out because scsi0:3.present is not TRUE",
                "debian12.vmx:15: wafer.initrd: has no effect without wafer.kernel",
            ])
    }
}
