import BlockStore
import BootMedium
import FAT
import Linux
import Signatures
import SimulatedDisk
import TestFiles
import Testing

@testable import BootBanks

@Suite("Boot banks and the loader's environment")
struct BootBanksTests {
    private let image = TestMedium.Image("1.0.0", fill: 0x11)

    @Test("a confirmation with nothing to change writes nothing")
    func idle() throws {
        let medium = try TestMedium(image, environment: [("bank", "A"), ("attempts", "0")]).fresh()
        #expect(try medium.banks().confirm() == .usual)
        #expect(medium.disk.writeCount == 0)
    }

    @Test("attempts go back to none, in one sector")
    func attempts() throws {
        let medium = try TestMedium(image, environment: [("bank", "A"), ("attempts", "2")]).fresh()
        #expect(try medium.banks().confirm() == .usual)
        #expect(try LoaderEnvironment(medium.system).read()["attempts"] == "0")
        #expect(medium.disk.writeCount == 1)
    }

    @Test("after a fallback the bank that runs is the usual one")
    func fallback() throws {
        let medium = try TestMedium(image, environment: [("bank", "B"), ("attempts", "3")])
        let origin = try #require(try medium.boot())
        #expect(origin == BootOrigin(bank: .a, isFallback: true))
        #expect(try medium.banks(origin).confirm() == .fellBack(to: .a))
        #expect(try medium.boot() == BootOrigin(bank: .a))
    }

    @Test("an environment that cannot be read is made anew by a confirmation, also if the power is cut in that")
    func repair() throws {
        let broken = try TestMedium(image, environment: [("bank", "A"), ("append", "x=1")])
        let reader = try FATReader(broken.system)
        let place = try #require(
            try reader.stretches(of: reader.entry(BootEnvironment.path), BootEnvironment.path).first)
        try broken.system.write([UInt8](repeating: 0x5a, count: 700), at: place.offset)
        let medium = broken.fresh()
        #expect(throws: LoaderEnvironmentError.content(.notAnEnvironment)) { try medium.banks().status() }
        #expect(try medium.banks(BootOrigin(bank: .b)).confirm() == .environmentRepaired(.b))
        #expect(try medium.banks().status().standard == .b)
        #expect(try LoaderEnvironment(medium.system).change { $0["next"] = "A" })
        #expect(try medium.banks(BootOrigin(bank: .b)).confirm() == .trialFailed(.a))
        try medium.disk.forEachPowerCut { disk, cut in
            let after = TestMedium(disk: disk)
            _ = try after.banks(BootOrigin(bank: .b)).confirm()
            #expect(try after.banks().status().standard == .b, "\(cut)")
        }
    }

    @Test("a bank on trial is looked through before it is confirmed, and what is wrong with it is said")
    func trialCheck() throws {
        let key = try #require(TestMedium.key).publicKey
        let stranger = try #require(TestMedium.stranger).publicKey
        func check(_ medium: TestMedium, isTrial: Bool = true, _ key: Ed25519.PublicKey) throws(BankDefect) -> Bool {
            let banks = try? medium.banks(BootOrigin(bank: .a, isTrial: isTrial))
            guard let check = try banks?.checkOfTrial(trusted: [key]) else { return false }
            while try check.advance() {}
            return true
        }
        func damaged(_ name: String, at offset: UInt64 = 0) throws -> TestMedium {
            let medium = try TestMedium(image)
            let bank = medium.bank(.a)
            let reader = try FATReader(bank)
            let stretch = try #require(try reader.stretches(of: reader.entry(name), name).first)
            let byte = try bank.read(1, at: stretch.offset + offset)[0]
            try bank.write([byte ^ 1], at: stretch.offset + offset)
            return medium
        }
        #expect(try check(TestMedium(image), key))
        #expect(try !check(TestMedium(image), isTrial: false, key))
        #expect(throws: BankDefect.wrongSignature) { try check(TestMedium(image), stranger) }
        #expect(throws: BankDefect.wrongSignature) { try check(damaged(Manifest.fileName), key) }
        #expect(throws: BankDefect.wrongSignature) { try check(damaged(Manifest.signatureFileName), key) }
        #expect(throws: BankDefect.damagedPart("vmlinuz")) { try check(damaged("vmlinuz", at: 4_500), key) }
        #expect(throws: BankDefect.damagedPart("initrd")) { try check(damaged("initrd", at: 20_000), key) }
    }

    @Test("a start by a key changes nothing, and a pending trial stays")
    func key() throws {
        let variables = [("bank", "B"), ("next", "A"), ("trial", "2"), ("attempts", "0")]
        let medium = try TestMedium(image, environment: variables).fresh()
        #expect(try medium.banks(BootOrigin(bank: .a)).confirm() == .usual)
        #expect(medium.disk.writeCount == 0)
    }

    @Test("other variables stay as they are; what would need two sectors is refused")
    func otherVariables() throws {
        let medium = try TestMedium(image, environment: [("append", "a=1 b\\c"), ("bank", "A")])
        let environment = try LoaderEnvironment(medium.system)
        try environment.change { $0["next"] = "B" }
        #expect(try environment.read()["append"] == "a=1 b\\c")
        #expect(try environment.read()["next"] == "B")
        #expect(throws: LoaderEnvironmentError.content(.tooLong)) {
            try environment.change { $0["append"] = String(repeating: "x", count: 600) }
        }
        #expect(try environment.read()["append"] == "a=1 b\\c")
    }

    @Test("a system partition without an environment is named")
    func missing() {
        let empty = SimulatedDisk(size: 1 << 20)
        #expect(throws: LoaderEnvironmentError.file(.noFileSystem)) { try LoaderEnvironment(empty) }
    }

    @Test("the disk with a state partition is found by its partitions' names")
    func disks() throws {
        try withTemporaryDirectory { root in
            func partition(_ disk: String, _ name: String, _ label: String, start: Int) throws {
                let folder = "\(root)/devices/pci/\(disk)/\(name)"
                try FileSystem.makeDirectory(folder)
                try FileSystem.write("\(start)\n", to: "\(folder)/start")
                try FileSystem.write("1\n", to: "\(folder)/partition")
                try FileSystem.write("DEVTYPE=partition\nPARTNAME=\(label)\n", to: "\(folder)/uevent")
                try FileSystem.makeLink("\(root)/class/block/\(name)", to: folder)
            }
            try FileSystem.makeDirectory("\(root)/class/block")
            #expect(BootDisk.all(sysfs: root).isEmpty)
            for disk in ["sdb", "sda"] {
                try partition(disk, "\(disk)2", "WAFER-ESP", start: 6144)
                try partition(disk, "\(disk)5", "WAFER-STATE", start: 90112)
            }
            try partition("sdc", "sdc1", "WAFER-ESP", start: 1)
            try partition("sdd", "sdd1", "WAFER-STATEX", start: 1)
            let disks = BootDisk.all(sysfs: root)
            #expect(disks.map(\.name) == ["sda", "sdb"])
            #expect(disks[0].partitions == [.system: "sda2", .state: "sda5"])
            #expect(disks[0].starts == [.system: 6144, .state: 90112])
            #expect(disks[0].device(.state) == "/dev/sda5")
            #expect(BootDisk.choose(disks, identifier: nil)?.disk.name == "sda")
            #expect(BootDisk.choose(disks, identifier: nil)?.others == 1)
            let chosen = BootDisk.choose(disks, identifier: "ABCD-1") { $0.name == "sdb" ? ["abcd-1"] : [] }
            #expect(chosen?.disk.name == "sdb" && chosen?.others == 0)
            #expect(BootDisk.choose(disks, identifier: "x") { _ in [] } == nil)
        }
    }

    @Test("identifiers are read from a GUID partition table as they are printed, and nothing else is")
    func identifiers() throws {
        let disk = SimulatedDisk(size: 64 << 10)
        #expect(PartitionIdentifiers.read(disk) == [])
        try disk.write(Array("EFI PART".utf8), at: 512)
        try disk.write([2, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 128, 0, 0, 0], at: 512 + 72)
        try disk.write([UInt8](repeating: 1, count: 16) + (0..<16).map { UInt8($0) }, at: 1024 + 128)
        #expect(PartitionIdentifiers.read(disk) == ["03020100-0504-0706-0809-0a0b0c0d0e0f"])
        try disk.write([UInt8](repeating: 0xff, count: 16), at: 512 + 72)
        #expect(PartitionIdentifiers.read(disk) == [])
    }
}
