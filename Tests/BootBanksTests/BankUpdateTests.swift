import BlockStore
import BootMedium
import FAT
import Linux
import Signatures
import SimulatedDisk
import Testing

@testable import BootBanks

@Suite("Updates of a boot bank")
struct BankUpdateTests {
    private let old = TestMedium.Image("1.0.0", fill: 0x11)
    private let new = TestMedium.Image("2.0.0", fill: 0x22)

    @Test("an update is tried, and stays once the host says that it is well", arguments: [1, 100, 4_099, 1 << 20])
    func installing(piece: Int) throws {
        let medium = try TestMedium(old)
        try medium.install(new.bundle(), piece: piece, medium.banks())
        #expect(medium.wholeVersion(.a) == "1.0.0")
        #expect(medium.wholeVersion(.b) == "2.0.0")
        let status = try medium.banks().status()
        #expect(status.next == .b && status.standard == .a)
        #expect(status.contents.map(\.version) == ["1.0.0", "2.0.0"])

        let origin = try #require(try medium.boot())
        #expect(origin == BootOrigin(bank: .b, isTrial: true))
        #expect(try medium.banks(origin).confirm() == .confirmed(.b))
        #expect(try medium.boot() == BootOrigin(bank: .b))
    }

    @Test("a power cut at any write boots the old or the new version, whole")
    func powerCuts() throws {
        let medium = try TestMedium(old).fresh()
        try medium.install(new.bundle(), medium.banks())
        var found: Set<String?> = []
        try medium.disk.forEachPowerCut { disk, cut in
            let after = TestMedium(disk: disk)
            let origin = try #require(try after.boot(), "\(cut)")
            let bank = try #require(origin.bank, "\(cut)")
            let version = after.wholeVersion(bank)
            #expect(version == "1.0.0" || version == "2.0.0", "\(cut)")
            found.insert(version)
            // The good bank was not touched, and a trial that does not come up leads back to it.
            #expect(after.wholeVersion(.a) == "1.0.0", "\(cut)")
            #expect(try after.boot()?.bank == .a, "\(cut)")
        }
        #expect(found == ["1.0.0", "2.0.0"])
    }

    @Test("a power cut while a pending update is replaced by another never boots a mixture")
    func replacing() throws {
        let first = try TestMedium(old)
        try first.install(TestMedium.Image("1.5.0", fill: 0x33, initrd: 30_000).bundle(), first.banks())
        let medium = first.fresh()
        try medium.install(new.bundle(), piece: 8192, medium.banks())
        var found: Set<String?> = []
        try medium.disk.forEachPowerCut { disk, cut in
            let after = TestMedium(disk: disk)
            let origin = try #require(try after.boot(), "\(cut)")
            let version = try after.wholeVersion(#require(origin.bank))
            #expect(["1.0.0", "1.5.0", "2.0.0"].contains(version), "\(cut)")
            found.insert(version)
        }
        #expect(found == ["1.0.0", "1.5.0", "2.0.0"])
    }

    @Test("a power cut at any write of a confirmation boots a whole version")
    func confirming() throws {
        let first = try TestMedium(old)
        try first.install(new.bundle(), first.banks())
        let origin = try #require(try first.boot())
        let medium = first.fresh()
        try medium.banks(origin).confirm()
        var found: Set<BootBank?> = []
        try medium.disk.forEachPowerCut { disk, cut in
            let after = TestMedium(disk: disk)
            let bank = try after.boot()?.bank
            #expect(bank.flatMap(after.wholeVersion) != nil, "\(cut)")
            found.insert(bank)
        }
        #expect(found == [.a, .b])
    }

    @Test("an update that does not come up is given up, and the host says so once")
    func panics() throws {
        let medium = try TestMedium(old)
        try medium.install(new.bundle(), medium.banks())
        #expect(try medium.boot()?.bank == .b)  // panics
        let origin = try #require(try medium.boot())
        #expect(origin == BootOrigin(bank: .a))
        #expect(try medium.banks(origin).confirm() == .trialFailed(.b))
        #expect(try medium.banks(origin).confirm() == .usual)
    }

    @Test("what is not signed, damaged or too large is refused by name before anything is written")
    func refusals() throws {
        let medium = try TestMedium(old).fresh()
        let good = new.bundle()
        func refused(_ bundle: [UInt8], _ trusted: [Ed25519.SecretKey?] = [TestMedium.key]) -> UpdateError? {
            do {
                try medium.install(bundle, medium.banks(), trusted: trusted)
                return nil
            } catch { return error as? UpdateError }
        }
        #expect(refused(new.bundle(TestMedium.stranger)) == .wrongSignature)
        #expect(refused(good, []) == .noTrustedKey)
        #expect(refused(good, [TestMedium.stranger]) == .wrongSignature)
        for place in [30, 60, UpdateBundle.headerSize + new.manifest.text.utf8.count + 3] {
            var damaged = good
            damaged[place] ^= 1
            #expect(refused(damaged) == .wrongSignature)
        }
        var later = good
        later[8] = 2
        #expect(refused(later) == .bundle(.unknownVersion))
        #expect(refused([UInt8](repeating: 0x55, count: 5000)) == .bundle(.notABundle))
        #expect(refused(Array(good[..<100])) == .bundle(.cutShort))
        #expect(refused(good + [0]) == .wrongSize)
        #expect(refused(Array(good.dropLast())) == .wrongSize)
        let kernel = UpdateBundle.headerSize + new.manifest.text.utf8.count + UpdateBundle.signatureSize
        for (place, part) in [(kernel, "vmlinuz"), (kernel + 9_999, "initrd"), (good.count - 1, "initrd")] {
            var damaged = good
            damaged[place] ^= 0x80
            #expect(refused(damaged) == .damagedPart(part))
        }
        let size = TestMedium.bankSize + 1
        #expect(throws: UpdateError.tooLarge(size, most: TestMedium.bankSize)) {
            try medium.banks().update(size: size, trusted: [#require(TestMedium.key).publicKey])
        }
        #expect(medium.disk.writeCount == 0)
    }

    @Test("an update that is damaged when it comes again leaves no bank to start but the running one")
    func damagedAgain() throws {
        let medium = try TestMedium(old)
        var other = new.bundle()
        other[other.count - 5] ^= 0x80
        #expect(throws: UpdateError.damagedPart("initrd")) {
            try medium.install(new.bundle(), again: other, medium.banks())
        }
        #expect(throws: FATReadError.noFileSystem) { try FATReader(medium.bank(.b)) }
        #expect(try medium.boot() == BootOrigin(bank: .a))
    }

    @Test("an update that came only once is not put on trial, and nothing was written")
    func once() throws {
        let medium = try TestMedium(old).fresh()
        let bundle = new.bundle()
        let update = try medium.banks().update(
            size: UInt64(bundle.count), trusted: [#require(TestMedium.key).publicKey])
        try update.take(bundle)
        try update.take([])
        #expect(update.isChecked)
        #expect(throws: UpdateError.bundle(.cutShort)) { try update.finishWriting() }
        #expect(throws: UpdateError.over) { try update.activate() }
        #expect(medium.disk.writeCount == 0)
    }

    @Test("a medium that does not keep what was written is found out before the update is put on trial")
    func forgetful() throws {
        let medium = try TestMedium(old)
        let bundle = new.bundle()
        let update = try medium.banks().update(
            size: UInt64(bundle.count), trusted: [#require(TestMedium.key).publicKey])
        try update.take(bundle)
        try update.take(bundle)
        try update.finishWriting()
        // The kernel's bytes are all 0x22: some of them change.
        let bank = medium.bank(.b)
        let place = try #require((0..<200).map { UInt64($0) * 4096 }.first { try bank.read(1, at: $0) == [0x22] })
        try bank.write([0x23], at: place)
        #expect(throws: UpdateError.notKept("vmlinuz")) { while try update.verifyStep() {} }
        #expect(try medium.boot() == BootOrigin(bank: .a))
    }

    @Test("a disk that fails at any operation leaves the running bank to boot")
    func failures() throws {
        let image = try TestMedium(old)
        var left = 0
        while true {
            let medium = image.fresh()
            let banks = try medium.banks()
            medium.disk.operationsLeft = left
            do {
                try medium.install(new.bundle(), banks)
                break
            } catch {}
            medium.disk.operationsLeft = nil
            let booted = try medium.boot()?.bank
            #expect(booted.flatMap(medium.wholeVersion) != nil, "after \(left) operations")
            left += 1
        }
        #expect(left > 60)
    }

    @Test("a system on trial takes no update until it is confirmed")
    func onTrial() throws {
        let medium = try TestMedium(old)
        try medium.install(new.bundle(), medium.banks())
        let banks = try medium.banks(#require(try medium.boot()))
        #expect(try banks.status().isTrial)
        #expect(throws: UpdateError.onTrial) { try medium.install(new.bundle(), banks) }
        try banks.confirm()
        try medium.install(TestMedium.Image("3.0.0", fill: 1).bundle(), banks)
        #expect(medium.wholeVersion(.a) == "3.0.0")
        #expect(try medium.boot() == BootOrigin(bank: .a, isTrial: true))
    }

    @Test("a host that was not started from a bank takes no update")
    func noBank() throws {
        let medium = try TestMedium(old)
        #expect(throws: UpdateError.noBanks) {
            try medium.install(new.bundle(), medium.banks(BootOrigin(bank: nil)))
        }
    }
}
