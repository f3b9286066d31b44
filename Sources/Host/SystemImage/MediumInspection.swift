import BlockStore
import BootBanks
import BootMedium
import FAT
import Linux
import Signatures
import StateArea

/// What a host and its loader would find on a boot medium's file, told by the code that the host itself uses. Reads only.
///
/// Partitions are looked for where `DiskImage` puts them.
struct MediumInspection {
    /// One thing found, as tab-separated words: what, and what is to be said about it.
    private(set) var lines: [String] = []

    private let file: DeviceStore
    private let trusted: [Ed25519.PublicKey]

    /// - Parameter trusted: whose signatures count.
    /// - Throws: if the file cannot be read at all. What is damaged is something found.
    init(_ path: String, trusted: [Ed25519.PublicKey]) throws(ImageError) {
        file = try describingFailure { () throws(SystemError) in try DeviceStore(path, writable: false) }
        self.trusted = trusted
        inspectState()
        inspectBanks()
    }

    /// The lines, each with its end.
    var text: String { lines.map { $0 + "\n" }.joined() }

    private mutating func add(_ words: String...) { lines.append(words.joined(separator: "\t")) }

    /// The revision of the settings, and each of their lines.
    private mutating func inspectState() {
        do throws(StateAreaError) {
            let area = try StateArea(partition(.state))
            add("revision", "\(area.current?.sequence ?? 0)")
            for line in String(decoding: area.current?.payload ?? [], as: UTF8.self).split(separator: "\n") {
                add("setting", String(line))
            }
            for finding in area.findings { add("finding", "\(finding)") }
        } catch { add("finding", "\(error)") }
    }

    /// The loader's variables, what each bank holds, and which one starts.
    private mutating func inspectBanks() {
        for bank in BootBank.allCases {
            do throws(BankDefect) {
                let check = try BankCheck(partition(bank.partition), trusted: trusted)
                while try check.advance() {}
                add("bank", bank.rawValue, "whole", "\(check.manifest.version) \(check.manifest.build)")
            } catch { add("bank", bank.rawValue, "not whole", "\(error)") }
        }
        let variables: BootEnvironment
        do throws(LoaderEnvironmentError) {
            variables = try LoaderEnvironment(partition(.system)).read()
        } catch {
            // The loader goes on without any.
            add("finding", "\(error)")
            return addStart(BootEnvironment())
        }
        for name in ["bank", "next", "trial", "attempts", "append"] {
            if let value = variables[name] { add("variable", name, value) }
        }
        addStart(variables)
    }

    /// What the loader does at power-on (docs/formats/boot-environment.md).
    private mutating func addStart(_ variables: BootEnvironment) {
        let standard: BootBank = variables["bank"] == "B" ? .b : .a
        var order: [(bank: BootBank, how: String)] = [(standard, "as usual"), (standard.other, "in its place")]
        // Three starts in a row did not get far.
        if variables["attempts"] == "3" { order.insert(order[1], at: 0) }
        if ["1", "2", "3"].contains(variables["trial"]), let next = variables["next"].flatMap(BootBank.init) {
            order.insert((next, "on trial"), at: 0)
        }
        guard let start = order.first(where: { canLoad($0.bank) }) else { return add("starts", "nothing") }
        add("starts", start.bank.rawValue, start.how)
    }

    /// Whether the loader finds the files that it needs; it does not look at their signatures.
    private func canLoad(_ bank: BootBank) -> Bool {
        guard let reader = try? FATReader(partition(bank.partition)) else { return false }
        return [Manifest.kernel, Manifest.initialRAMDisk].allSatisfy { name in
            (try? reader.entry(name)).flatMap { try? reader.stretches(of: $0, name) } != nil
        }
    }

    private func partition(_ partition: BootPartition) -> any BlockStore {
        let place = DiskImage.partitions.first { $0.partition == partition }
        return PartitionStore(file, start: place?.offset ?? 0, size: place?.length ?? 0, name: partition.rawValue)
    }
}

/// A partition of a medium, for reading.
private final class PartitionStore: BlockStore {
    private let medium: any BlockStore
    private let start: UInt64
    let size: UInt64
    let name: String
    var blockSize: Int { medium.blockSize }

    init(_ medium: any BlockStore, start: UInt64, size: UInt64, name: String) {
        self.medium = medium
        self.start = start
        self.size = size
        self.name = name
    }

    func read(_ count: Int, at offset: UInt64) throws(SystemError) -> [UInt8] {
        try check(count, at: offset, "read")
        return try medium.read(count, at: start + offset)
    }

    func write(_ bytes: [UInt8], at offset: UInt64) throws(SystemError) { throw .invalid("write", name) }

    func flush() throws(SystemError) {}

    func dropCache() {}
}
