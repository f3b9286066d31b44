import BlockStore
public import BootMedium
import Linux

/// The disk with the host's boot medium, and its partitions' device names.
public struct BootDisk: Equatable, Sendable {
    /// The disk's kernel name, such as `sda`.
    public var name: String
    /// Each partition's kernel name, such as `sda5`.
    public var partitions: [BootPartition: String]
    /// Where each begins on the disk, in sectors of 512 bytes.
    public var starts: [BootPartition: UInt64]

    /// A partition's device node.
    public func device(_ partition: BootPartition) -> String? { partitions[partition].map { "/dev/\($0)" } }

    /// Disks that have a state partition, by name.
    ///
    /// - Parameter sysfs: where sysfs is mounted.
    public static func all(sysfs: String = "/sys") -> [BootDisk] {
        var disks: [String: BootDisk] = [:]
        let names = (try? listDirectory("\(sysfs)/class/block")) ?? []
        for name in names.sorted() {
            let path = "\(sysfs)/class/block/\(name)"
            guard fileExists("\(path)/partition"), let event = try? FileSystem.text(of: "\(path)/uevent"),
                let line = event.split(separator: "\n").first(where: { $0.hasPrefix("PARTNAME=") }),
                let partition = BootPartition(rawValue: String(line.dropFirst(9))), let full = try? absolutePath(path)
            else { continue }
            // A partition's folder lies in its disk's.
            let disk = Files.name(of: Files.directory(of: full))
            var found = disks[disk] ?? BootDisk(name: disk, partitions: [:], starts: [:])
            // The first of two with the same name.
            if found.partitions[partition] == nil {
                found.partitions[partition] = name
                found.starts[partition] = (try? FileSystem.text(of: "\(path)/start")).flatMap { UInt64($0) }
            }
            disks[disk] = found
        }
        return disks.values.filter { $0.partitions[.state] != nil }.sorted { $0.name < $1.name }
    }

    /// The disk to use, and how many others would have done.
    ///
    /// - Parameter identifier: `wafer.disk`: a partition's unique identifier on the wanted disk.
    public static func choose(
        _ disks: [BootDisk], identifier: String?, identifiers: (BootDisk) -> [String] = PartitionIdentifiers.read
    ) -> (disk: BootDisk, others: Int)? {
        if let identifier {
            guard let disk = disks.first(where: { identifiers($0).contains(identifier.lowercased()) }) else {
                return nil
            }
            return (disk, 0)
        }
        return disks.first.map { ($0, disks.count - 1) }
    }
}

/// The unique identifiers in a GUID partition table (UEFI specification 2.10, section 5.3).
public enum PartitionIdentifiers {
    private static let entriesMax: UInt64 = 128

    /// Those of a disk's partitions, as they are printed, in small letters; none if they cannot be read.
    public static func read(_ disk: BootDisk) -> [String] {
        guard let store = try? DeviceStore("/dev/\(disk.name)", writable: false) else { return [] }
        return read(store)
    }

    static func read(_ store: any BlockStore) -> [String] {
        let block = UInt64(store.blockSize)
        guard let header = try? store.read(92, at: block), Array(header[..<8]) == Array("EFI PART".utf8) else {
            return []
        }
        func little(_ offset: Int, _ count: Int) -> UInt64 {
            (0..<count).reduce(0) { $0 | UInt64(header[offset + $1]) << UInt64(8 * $1) }
        }
        let (start, overflow) = little(72, 8).multipliedReportingOverflow(by: block)
        let count = min(little(80, 4), entriesMax)
        let size = little(84, 4)
        guard !overflow, (128...4096).contains(size),
            let entries = try? store.read(Int(count * size), at: start)
        else { return [] }
        return (0..<Int(count)).compactMap { index in
            let entry = entries[(index * Int(size))...].prefix(32)
            // A type of zeros: the entry is not used.
            if entry.prefix(16).allSatisfy({ $0 == 0 }) { return nil }
            return text(Array(entry.dropFirst(16)))
        }
    }

    /// The first three fields are little-endian (UEFI, appendix A).
    private static func text(_ bytes: [UInt8]) -> String {
        let order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15]
        return order.enumerated().map { index, place in
            let digits = String(bytes[place], radix: 16)
            let hyphen = [4, 6, 8, 10].contains(index) ? "-" : ""
            return hyphen + (digits.count == 1 ? "0" + digits : digits)
        }.joined()
    }
}
