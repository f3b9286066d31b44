import Bytes

/// One structure of the tables: a formatted area and the texts it refers to (DMTF DSP0134 3.0, 6.1).
struct SMBIOSStructure {
    private let type: UInt8
    private let handle: UInt16
    private var body = ByteWriter()
    private var texts: [[UInt8]] = []

    init(type: UInt8, handle: UInt16) {
        self.type = type
        self.handle = handle
    }

    mutating func byte(_ value: UInt8) { body.little(value) }
    mutating func word(_ value: UInt16) { body.little(value) }
    mutating func double(_ value: UInt32) { body.little(value) }
    mutating func quad(_ value: UInt64) { body.little(value) }
    mutating func bytes(_ value: [UInt8]) { body.append(value) }

    /// Writes the number of a text: 0 for none, otherwise its place among the structure's texts, from 1.
    mutating func text(_ text: String) {
        let characters = text.utf8.filter { $0 != 0 }
        guard !characters.isEmpty, texts.count < 255 else { return byte(0) }
        texts.append(Array(characters))
        byte(UInt8(texts.count))
    }

    /// Adds a text that no field refers to; its position is its number.
    mutating func listedText(_ text: String) {
        let characters = text.utf8.filter { $0 != 0 }
        // An empty text would end the list.
        texts.append(characters.isEmpty ? [0x20] : Array(characters))
    }

    /// The header, the fields, the texts and the end.
    ///
    /// - Parameter count: the length of header and fields that the specification gives.
    func encoded(count: UInt8) -> [UInt8] {
        precondition(body.count + 4 == Int(count), "structure \(type) has \(body.count + 4) bytes instead of \(count)")
        var writer = ByteWriter()
        writer.append([type, count])
        writer.little(handle)
        writer.append(body.bytes)
        for text in texts {
            writer.append(text)
            writer.append([0])
        }
        writer.append(texts.isEmpty ? [0, 0] : [0])
        return writer.bytes
    }
}
