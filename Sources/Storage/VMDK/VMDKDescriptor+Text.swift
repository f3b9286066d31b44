import Bytes

extension VMDKDescriptor {
    /// Whether a file's content begins as a descriptor does.
    public static func isDescriptor(_ bytes: some Collection<UInt8>) -> Bool { bytes.starts(with: magic.utf8) }

    /// Reads a descriptor.
    ///
    /// - Parameter name: the file's name for messages.
    public init(parsing bytes: [UInt8], name: String) throws(DiskError) {
        guard bytes.count <= Limit.fileSize else {
            let reason = "is \(bytes.count) bytes long; a descriptor has at most \(Limit.fileSize)"
            throw .malformed(file: name, line: nil, reason)
        }
        guard Self.isDescriptor(bytes) else {
            throw .malformed(file: name, line: 1, "does not begin with \"\(Self.magic)\"")
        }
        var parser = DescriptorParser(name: name)
        try parser.read(bytes)
        self = try parser.finish()
    }

    /// The descriptor's text in the order and with the comments VMware writes.
    ///
    /// - Parameter name: the file's name for messages.
    /// - Throws: if a value holds what a descriptor cannot.
    public func text(name: String) throws(DiskError) -> [UInt8] {
        var text = "\(Self.magic)\nversion=\(version)\nencoding=\"\(encoding.name)\"\n"
        text += "CID=\(Self.hex(UInt64(contentID), 8))\n"
        text += "parentCID=\(Self.hex(UInt64(parentContentID ?? .max), 8))\n"
        text += "createType=\"\(createType.rawValue)\"\n"
        if let parentFileName { text += "parentFileNameHint=\"\(parentFileName)\"\n" }
        for property in header { text += "\(property.key)=\"\(property.value)\"\n" }
        text += "\n# Extent description\n"
        for extent in extents {
            text += "\(extent.access.rawValue) \(extent.sectorCount) \(extent.type.rawValue)"
            if let file = extent.fileName { text += " \"\(file)\"" }
            if let offset = extent.offset { text += " \(offset)" }
            text += "\n"
        }
        text += "\n# The Disk Data Base \n#DDB\n\n"
        for property in database { text += "\(property.key) = \"\(property.value)\"\n" }
        guard let bytes = encoding.encode(text) else {
            throw .refused(file: name, "a value has characters that \(encoding.name) lacks")
        }
        // Whatever a value could break (a quote, a line end) makes the text read back differently.
        guard let back = try? VMDKDescriptor(parsing: bytes, name: name), back == self else {
            throw .refused(file: name, "a value cannot be written in a descriptor")
        }
        return bytes
    }
}

/// Reads a descriptor line by line.
private struct DescriptorParser {
    let name: String
    private var encoding = TextEncoding.utf8
    private var number = 0
    private var properties: [(key: String, value: String, line: Int)] = []
    private var seen: Set<String> = []
    private var extents: [VMDKDescriptor.Extent] = []
    private var sectors: UInt64 = 0

    init(name: String) { self.name = name }

    private func malformed(_ reason: String) -> DiskError { .malformed(file: name, line: number, reason) }

    mutating func read(_ bytes: [UInt8]) throws(DiskError) {
        // A descriptor taken out of a sparse disk is filled up with zeros to whole sectors.
        let end = (bytes.lastIndex { $0 != 0 } ?? -1) + 1
        let lines = bytes[..<end].split(separator: 10, omittingEmptySubsequences: false)
        encoding = try findEncoding(lines)
        for line in lines {
            number += 1
            guard !line.contains(0) else { throw malformed("holds a zero byte") }
            guard let text = encoding.decode(line.last == 13 ? line.dropLast() : line) else {
                throw malformed("is not text in the encoding \(encoding.name)")
            }
            try read(line: text)
        }
    }

    /// The encoding may be named after lines that need it.
    private mutating func findEncoding(_ lines: [ArraySlice<UInt8>]) throws(DiskError) -> TextEncoding {
        for (index, line) in lines.enumerated() {
            let text = String(decoding: line, as: UTF8.self)
            guard let (key, value) = Self.property(text), key.lowercased() == "encoding" else { continue }
            guard let encoding = TextEncoding(name: value) else {
                number = index + 1
                throw .notSupported(file: name, "the encoding \(quoted(value))")
            }
            return encoding
        }
        return .utf8
    }

    private mutating func read(line: String) throws(DiskError) {
        let trimmed = Self.trim(line[...])
        if trimmed.isEmpty || trimmed.utf8.first == UInt8(ascii: "#") { return }
        let (word, rest) = Self.field(trimmed)
        if let access = VMDKDescriptor.Access(rawValue: String(word)) {
            try readExtent(access, rest)
            return
        }
        guard let (key, value) = Self.property(line) else {
            throw malformed("is neither an extent nor of the form key=\"value\"")
        }
        guard seen.insert(key).inserted else { throw malformed("\(quoted(key)) is already defined") }
        properties.append((key, value, number))
    }

    private mutating func readExtent(_ access: VMDKDescriptor.Access, _ rest: Substring) throws(DiskError) {
        guard extents.count < VMDKDescriptor.Limit.extents else {
            throw malformed("is one extent too many; the limit is \(VMDKDescriptor.Limit.extents)")
        }
        var fields: [Substring] = []
        var file: String?
        var rest = rest
        while !rest.isEmpty {
            if rest.utf8.first == UInt8(ascii: "\"") {
                let body = rest.utf8.dropFirst()
                guard file == nil, fields.count == 2, let close = body.firstIndex(of: UInt8(ascii: "\"")) else {
                    throw malformed("has a file name that is not one name in quotes after the type")
                }
                file = String(Substring(body[..<close]))
                rest = Self.trim(Substring(body[body.index(after: close)...]))
            } else {
                let next = Self.field(rest)
                fields.append(next.field)
                rest = next.rest
            }
        }
        guard (2...3).contains(fields.count), fields.count == 2 || file != nil else {
            throw malformed("is not of the form: access, sectors, type, \"file\", offset")
        }
        guard let count = Self.number(fields[0]), count > 0 else {
            throw malformed("\(quoted(String(fields[0]))) is not a number of sectors")
        }
        let sum = sectors.addingReportingOverflow(count)
        guard !sum.overflow, sum.partialValue <= VMDKDescriptor.Limit.sectors else {
            throw malformed("makes the disk longer than \(VMDKDescriptor.Limit.sectors) sectors")
        }
        sectors = sum.partialValue
        var offset: UInt64?
        if fields.count == 3 {
            guard let value = Self.number(fields[2]), value <= VMDKDescriptor.Limit.sectors else {
                throw malformed("\(quoted(String(fields[2]))) is not an offset in sectors")
            }
            offset = value
        }
        let type = VMDKDescriptor.ExtentType(rawValue: String(fields[1]))
        switch (type, file, offset) {
        case (.zero, .some, _): throw malformed("names a file for a ZERO extent, which has none")
        case (.zero, nil, _): break
        case (_, nil, _) where access != .none: throw malformed("names no file for its \(quoted(type.rawValue)) extent")
        case (.flat, .some, nil): throw malformed("gives no offset for a FLAT extent")
        default: break
        }
        var extent = VMDKDescriptor.Extent(access, sectors: count, type, file: file, offset: offset)
        extent.line = number
        extents.append(extent)
    }

    /// Puts the parts together and checks what must be there.
    func finish() throws(DiskError) -> VMDKDescriptor {
        var found: [String: (value: String, line: Int)] = [:]
        let special: Set<String> = ["version", "encoding", "CID", "parentCID", "createType", "parentFileNameHint"]
        for property in properties where special.contains(property.key) {
            found[property.key] = (property.value, property.line)
        }
        func value(_ key: String) throws(DiskError) -> (value: String, line: Int) {
            guard let value = found[key] else { throw .malformed(file: name, line: nil, "\(key) is missing") }
            return value
        }
        func identifier(_ key: String) throws(DiskError) -> UInt32 {
            let (text, line) = try value(key)
            guard text.utf8.count <= 8, text.utf8.first != UInt8(ascii: "+"), let id = UInt32(text, radix: 16) else {
                throw .malformed(
                    file: name, line: line, "\(key): \(quoted(text)) is not a content identifier of 8 digits")
            }
            return id
        }
        let (versionText, versionLine) = try value("version")
        guard let version = Self.number(versionText[...]), (1...3).contains(version) else {
            throw .malformed(file: name, line: versionLine, "version: \(quoted(versionText)) is none of 1, 2, 3")
        }
        let parent = try identifier("parentCID")
        let createType = VMDKDescriptor.CreateType(rawValue: try value("createType").value)
        guard !extents.isEmpty else { throw .malformed(file: name, line: nil, "has no extent") }

        var descriptor = VMDKDescriptor(contentID: try identifier("CID"), createType: createType, extents: extents)
        descriptor.version = Int(version)
        descriptor.encoding = encoding
        descriptor.parentContentID = parent == .max ? nil : parent
        descriptor.parentFileName = found["parentFileNameHint"]?.value
        for property in properties where !special.contains(property.key) {
            let entry = VMDKDescriptor.Property(property.key, property.value)
            if property.key.hasPrefix("ddb.") {
                descriptor.database.append(entry)
            } else {
                descriptor.header.append(entry)
            }
        }
        return descriptor
    }

    /// `key = value` or `key = "value"`; nil if the line is neither.
    private static func property(_ line: String) -> (key: String, value: String)? {
        guard let equals = line.utf8.firstIndex(of: UInt8(ascii: "=")) else { return nil }
        let key = trim(line[..<equals])
        var value = trim(line[line.utf8.index(after: equals)...])
        guard !key.isEmpty, key.utf8.allSatisfy({ (33...126).contains($0) && $0 != UInt8(ascii: "\"") }),
            key.utf8.first != UInt8(ascii: "#")
        else { return nil }
        if value.utf8.first == UInt8(ascii: "\"") {
            guard value.utf8.count >= 2, value.utf8.last == UInt8(ascii: "\"") else { return nil }
            value = Substring(value.utf8.dropFirst().dropLast())
        }
        guard !value.utf8.contains(UInt8(ascii: "\"")) else { return nil }
        return (String(key), String(value))
    }

    /// What stands before the first blank, and what follows the blanks. Bytes, not characters: a combining mark after a quote
    /// or a blank makes one character of the two.
    private static func field(_ text: Substring) -> (field: Substring, rest: Substring) {
        let field = text.utf8.prefix { $0 != 32 && $0 != 9 }
        return (Substring(field), trim(Substring(text.utf8[field.endIndex...])))
    }

    private static func trim(_ text: Substring) -> Substring {
        func isBlank(_ byte: UInt8) -> Bool { byte == 32 || byte == 9 || byte == 13 }
        var utf8 = text.utf8
        while let first = utf8.first, isBlank(first) { utf8 = utf8.dropFirst() }
        while let last = utf8.last, isBlank(last) { utf8 = utf8.dropLast() }
        return Substring(utf8)
    }

    private static func number(_ text: Substring) -> UInt64? {
        guard text.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) else { return nil }
        return UInt64(text)
    }
}

/// Foreign text for a message: in quotes, cut short, only printable ASCII as it is.
func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars.prefix(120) {
        if (32...126).contains(scalar.value) {
            result.unicodeScalars.append(scalar)
        } else {
            result += "\\u{\(String(scalar.value, radix: 16))}"
        }
    }
    return result + "\""
}
