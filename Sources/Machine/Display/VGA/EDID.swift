/// What a monitor tells about itself (VESA Enhanced EDID Standard, release A, revision 2: EDID 1.4): a flat panel of any size.
struct EDID {
    /// The 128 bytes.
    let bytes: [UInt8]

    /// - Parameters:
    ///   - width: of the preferred mode, in pixels, 64...4080.
    ///   - height: the same, 64...4080.
    init(width: UInt16, height: UInt16) {
        let width = Int(min(max(width, 64), 4080))
        let height = Int(min(max(height, 64), 4080))
        var bytes = [UInt8](repeating: 0, count: 128)
        bytes.replaceSubrange(0..<8, with: [0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0])
        // Manufacturer "WFR", five bits a letter; made in 2024; version 1.4.
        let maker = Self.letter("W") << 10 | Self.letter("F") << 5 | Self.letter("R")
        bytes[8] = UInt8(maker >> 8)
        bytes[9] = UInt8(maker & 0xff)
        bytes[10] = 1
        bytes[16] = 1
        bytes[17] = 34
        bytes[18] = 1
        bytes[19] = 4
        // Digital, eight bits a colour. 96 pixels an inch. Gamma 2.2. sRGB, and the first timing is the native one.
        bytes[20] = 0xa0
        let millimetres = (width: width * 254 / 960, height: height * 254 / 960)
        bytes[21] = UInt8(clamping: millimetres.width / 10)
        bytes[22] = UInt8(clamping: millimetres.height / 10)
        bytes[23] = 120
        bytes[24] = 0x06
        bytes.replaceSubrange(25..<35, with: [0xee, 0x91, 0xa3, 0x54, 0x4c, 0x99, 0x26, 0x0f, 0x50, 0x54])
        // Established timings: 640×480, 800×600 and 1024×768 at 60 Hz.
        bytes[35] = 0x21
        bytes[36] = 0x08
        // Standard timings at 60 Hz: 1280×800, 1280×1024, 1440×900, 1680×1050, 1920×1080, 1920×1200; the rest is unused.
        let standard: [UInt8] = [0x81, 0x00, 0x81, 0x80, 0x95, 0x00, 0xb3, 0x00, 0xd1, 0xc0, 0xd1, 0x00, 1, 1, 1, 1]
        bytes.replaceSubrange(38..<54, with: standard)
        bytes.replaceSubrange(54..<72, with: Self.timing(width, height, millimetres.width, millimetres.height))
        bytes.replaceSubrange(72..<90, with: Self.text(0xfc, "Wafer"))
        // Range limits: 50 to 125 Hz, 30 to 160 kHz, 600 MHz.
        bytes.replaceSubrange(
            90..<108, with: [0, 0, 0, 0xfd, 0, 50, 125, 30, 160, 60, 0x01, 10, 32, 32, 32, 32, 32, 32])
        bytes.replaceSubrange(108..<126, with: Self.text(0xff, "1"))
        bytes[127] = 0 &- bytes.reduce(0, &+)
        self.bytes = bytes
    }

    private static func letter(_ letter: Unicode.Scalar) -> Int { Int(letter.value) - 64 }

    /// A detailed timing descriptor (section 3.10.2), at 60 Hz with reduced blanking.
    private static func timing(_ width: Int, _ height: Int, _ widthMM: Int, _ heightMM: Int) -> [UInt8] {
        let (horizontalBlank, verticalBlank) = (160, 30)
        // In 10 kHz; more than 16 bits hold is not reached with the sizes allowed, but the refresh rate gives way first.
        let clock = min((width + horizontalBlank) * (height + verticalBlank) * 60 / 10_000, 0xffff)
        func low(_ value: Int) -> UInt8 { UInt8(truncatingIfNeeded: value) }
        /// Bits 11:8 of two numbers.
        func high(_ one: Int, _ other: Int) -> UInt8 { low(one / 256 * 16 | other / 256) }
        return [
            low(clock), low(clock >> 8),
            low(width), low(horizontalBlank), high(width, horizontalBlank),
            low(height), low(verticalBlank), high(height, verticalBlank),
            // Front porch and width of the synchronisation pulses: 48 and 32 pixels, 3 and 6 lines.
            48, 32, 3 << 4 | 6, 0,
            low(widthMM), low(heightMM), high(widthMM, heightMM), 0, 0, 0x18,
        ]
    }

    /// A display descriptor with up to 13 characters.
    private static func text(_ tag: UInt8, _ text: String) -> [UInt8] {
        let characters = Array(text.utf8.prefix(12)) + [0x0a]
        return [0, 0, 0, tag, 0] + characters + [UInt8](repeating: 0x20, count: 13 - characters.count)
    }
}
