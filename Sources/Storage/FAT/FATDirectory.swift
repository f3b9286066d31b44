import Bytes

/// A directory and what is in it, before it has a place on the volume.
struct FATDirectory: Sendable {
    indirect enum Node: Sendable {
        case file(size: UInt64)
        case directory(FATDirectory)
    }

    struct Child: Sendable {
        var name: String
        var shortName: FATName
        var node: Node
    }

    static let entrySize = 32
    /// 1980-01-01, the first day there is: year since 1980 in bits 15-9, month in 8-5, day in 4-0.
    private static let date: UInt16 = 1 << 5 | 1

    private(set) var children: [Child] = []

    private init() {}

    /// The tree that these files make, in their order.
    init(_ files: [FATVolume.File]) throws(FATError) {
        for file in files {
            guard file.size <= UInt64(UInt32.max) else { throw .fileTooLong(file.path) }
            let names = file.path.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
            try insert(file, names[...])
        }
    }

    var entryCount: Int { children.count }

    private mutating func insert(_ file: FATVolume.File, _ names: ArraySlice<String>) throws(FATError) {
        guard let name = names.first else { throw .name(file.path) }
        let shortName = try FATName(name)
        let index = children.firstIndex { $0.shortName.characters == shortName.characters }
        if names.count == 1 {
            guard index == nil else { throw .duplicate(file.path) }
            children.append(Child(name: name, shortName: shortName, node: .file(size: file.size)))
            return
        }
        var inner = FATDirectory()
        if let index {
            guard case .directory(let known) = children[index].node else { throw .duplicate(file.path) }
            inner = known
        }
        try inner.insert(file, names.dropFirst())
        if let index {
            children[index].node = .directory(inner)
        } else {
            children.append(Child(name: name, shortName: shortName, node: .directory(inner)))
        }
    }

    /// A directory entry (fatgen103, "FAT Directory Structure").
    static func entry(_ name: FATName, isDirectory: Bool, cluster: UInt32, size: UInt32) -> [UInt8] {
        entry(
            name.characters, attributes: isDirectory ? 0x10 : 0x20, flags: name.caseFlags, cluster: cluster, size: size)
    }

    /// The entry that holds the volume's label.
    static func label(_ label: String) throws(FATError) -> [UInt8] {
        let characters = Array(label.utf8)
        guard (1...11).contains(characters.count), characters.allSatisfy({ (33..<127).contains($0) }) else {
            throw .name(label)
        }
        let padded = characters + [UInt8](repeating: UInt8(ascii: " "), count: 11 - characters.count)
        return entry(padded, attributes: 0x08, flags: 0, cluster: 0, size: 0)
    }

    private static func entry(_ name: [UInt8], attributes: UInt8, flags: UInt8, cluster: UInt32, size: UInt32)
        -> [UInt8]
    {
        var writer = ByteWriter()
        writer.append(name)
        writer.little(attributes)
        writer.little(flags)
        writer.zeros(1)  // tenths of a second of creation
        writer.little(UInt16(0))  // time and date of creation, date of last access
        writer.little(date)
        writer.little(date)
        writer.little(UInt16(truncatingIfNeeded: cluster >> 16))
        writer.little(UInt16(0))  // time and date of last change
        writer.little(date)
        writer.little(UInt16(truncatingIfNeeded: cluster))
        writer.little(size)
        return writer.bytes
    }
}
