import BlockStore
import BootMedium
import FAT
import Signatures
import SimulatedDisk

@testable import BootBanks

/// A boot medium on a simulated disk, with the loader that reads it.
struct TestMedium {
    static let systemSize: UInt64 = 3 << 20
    /// FAT16 has at least 4085 clusters, of 4096 bytes in a bank.
    static let bankSize: UInt64 = 17 << 20
    static let key = Ed25519.SecretKey(seed: [UInt8](repeating: 5, count: 32))
    static let stranger = Ed25519.SecretKey(seed: [UInt8](repeating: 6, count: 32))

    let disk: SimulatedDisk

    /// What a version consists of. Sizes are odd on purpose.
    struct Image {
        var version: String
        var parts: [(name: String, bytes: [UInt8])]

        init(_ version: String, fill: UInt8, initrd: Int = 20_001) {
            self.version = version
            parts = [
                ("vmlinuz", [UInt8](repeating: fill, count: 9_999)),
                ("initrd", (0..<initrd).map { UInt8(truncatingIfNeeded: $0) ^ fill }),
            ]
        }

        var manifest: Manifest {
            Manifest(
                version: version, build: "b\(version)",
                parts: parts.map {
                    .init(name: $0.name, size: UInt64($0.bytes.count), hash: SHA256.digest(of: $0.bytes))
                })
        }

        /// The bundle, signed.
        func bundle(_ key: Ed25519.SecretKey? = TestMedium.key) -> [UInt8] {
            let text = Array(manifest.text.utf8)
            let signature = key?.signature(of: text) ?? []
            return UpdateBundle(manifest: text, signature: signature).bytes + parts.flatMap(\.bytes)
        }
    }

    init(disk: SimulatedDisk) { self.disk = disk }

    /// Bank A holds an image, bank B nothing.
    init(_ image: Image, environment: [(String, String)] = [("bank", "A")]) throws {
        disk = SimulatedDisk(size: Int(Self.systemSize + 2 * Self.bankSize))
        var variables = BootEnvironment()
        for (name, value) in environment { variables[name] = value }
        try fill(system, clusterSize: 512, [(BootEnvironment.path, try variables.bytes())])
        let text = Array(image.manifest.text.utf8)
        try fill(
            bank(.a), clusterSize: 4096,
            image.parts + [
                (Manifest.fileName, text), (Manifest.signatureFileName, Self.key?.signature(of: text) ?? []),
            ])
    }

    private func fill(_ store: any BlockStore, clusterSize: Int, _ files: [(name: String, bytes: [UInt8])]) throws {
        let volume = try FATVolume(
            .fat16, size: store.size, clusterSize: clusterSize, label: "TEST", serial: 1, hiddenSectors: 0,
            files: files.map { .init(path: $0.name, size: UInt64($0.bytes.count)) })
        for extent in volume.structures { try store.write(extent.bytes, at: extent.offset) }
        for file in files { try store.write(file.bytes, at: volume.contents[file.name] ?? 0) }
        try store.flush()
    }

    /// The same content without a history: what happens from now on is recorded.
    func fresh() -> TestMedium { TestMedium(disk: disk.copy()) }

    var system: any BlockStore { SimulatedDisk.Partition(disk, start: 0, size: Self.systemSize, name: "the ESP") }

    func bank(_ bank: BootBank) -> any BlockStore {
        SimulatedDisk.Partition(
            disk, start: Self.systemSize + (bank == .a ? 0 : Self.bankSize), size: Self.bankSize,
            name: "bank \(bank.rawValue)")
    }

    func banks(_ origin: BootOrigin) throws -> BootBanks {
        try BootBanks(system: system, banks: [.a: bank(.a), .b: bank(.b)], origin: origin)
    }

    /// The banks of the system that runs from A as usual.
    func banks() throws -> BootBanks { try banks(BootOrigin(bank: .a)) }

    /// What the loader does at power-on (docs/formats/boot-environment.md); nil if neither bank can be loaded.
    func boot() throws -> BootOrigin? {
        let environment = try LoaderEnvironment(system)
        let variables = try environment.read()
        if let trial = variables["trial"].flatMap(Int.init), (1...3).contains(trial),
            let next = variables["next"].flatMap(BootBank.init)
        {
            try environment.change { $0["trial"] = "\(trial - 1)" }
            if canLoad(next) { return BootOrigin(bank: next, isTrial: true) }
            try environment.change { $0["trial"] = "0" }
        }
        let standard: BootBank = variables["bank"] == "B" ? .b : .a
        if canLoad(standard) { return BootOrigin(bank: standard) }
        return canLoad(standard.other) ? BootOrigin(bank: standard.other, isFallback: true) : nil
    }

    private func canLoad(_ bank: BootBank) -> Bool {
        guard let reader = try? FATReader(self.bank(bank)) else { return false }
        return [Manifest.kernel, Manifest.initialRAMDisk].allSatisfy {
            (try? reader.contents($0, limit: 1 << 24)) != nil
        }
    }

    /// The version in a bank, if every byte of it is as its signed manifest says.
    func wholeVersion(_ bank: BootBank) -> String? {
        guard let key = Self.key?.publicKey, let reader = try? FATReader(self.bank(bank)),
            let text = try? reader.contents(Manifest.fileName, limit: Manifest.sizeMax),
            let signature = try? reader.contents(Manifest.signatureFileName, limit: 64),
            key.verifies(signature, of: text), let manifest = try? Manifest(parsing: text)
        else { return nil }
        for part in manifest.parts {
            guard let bytes = try? reader.contents(part.name, limit: 1 << 24), SHA256.digest(of: bytes) == part.hash
            else { return nil }
        }
        return manifest.version
    }

    /// Installs a bundle in pieces.
    ///
    /// - Parameter again: what comes the second time; nil for the same.
    func install(
        _ bundle: [UInt8], again: [UInt8]? = nil, piece: Int = 4_099, _ banks: BootBanks,
        trusted: [Ed25519.SecretKey?] = [key]
    ) throws {
        let update = try banks.update(size: UInt64(bundle.count), trusted: trusted.compactMap { $0?.publicKey })
        for bytes in [bundle, again ?? bundle] {
            var rest = bytes[...]
            while !rest.isEmpty {
                try update.take(Array(rest.prefix(piece)))
                rest = rest.dropFirst(piece)
            }
        }
        try update.finishWriting()
        while try update.verifyStep() {}
        try update.activate()
    }
}
