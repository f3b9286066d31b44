/// The checksum of Ethernet and GPT (ISO 3309; UEFI specification 2.10, section 5.3.2).
enum CRC32 {
    static func checksum(_ bytes: [UInt8]) -> UInt32 {
        var value: UInt32 = ~0
        for byte in bytes {
            value ^= UInt32(byte)
            for _ in 0..<8 { value = value & 1 == 0 ? value >> 1 : value >> 1 ^ 0xedb8_8320 }
        }
        return ~value
    }
}
