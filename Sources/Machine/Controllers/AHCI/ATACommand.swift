/// A register FIS from host to device (Serial ATA 3.0, section 10.3.4), copied once.
struct ATACommand: BitwiseCopyable {
    /// Type of the FIS.
    static let type: UInt8 = 0x27

    private let low: UInt64
    private let high: UInt64

    /// - Parameter bytes: at least 16 bytes.
    @unsafe init(at bytes: UnsafeRawPointer) {
        low = unsafe UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
        high = unsafe UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
    }

    private func byte(_ index: UInt64) -> UInt8 {
        UInt8(truncatingIfNeeded: (index < 8 ? low : high) &>> (8 &* (index & 7)))
    }

    var isRegister: Bool { byte(0) == Self.type }
    /// It carries a command; else it carries the device control register.
    var isCommand: Bool { byte(1) & 0x80 != 0 }
    var opcode: UInt8 { byte(2) }
    var features: UInt16 { UInt16(byte(3)) | UInt16(byte(11)) << 8 }
    var device: UInt8 { byte(7) }
    var count: UInt16 { UInt16(byte(12)) | UInt16(byte(13)) << 8 }
    /// The device control register's SRST bit.
    var isSoftReset: Bool { byte(15) & 4 != 0 }
    /// The address of commands with 48 bits.
    var block48: UInt64 {
        UInt64(byte(4)) | UInt64(byte(5)) << 8 | UInt64(byte(6)) << 16 | UInt64(byte(8)) << 24 | UInt64(byte(9)) << 32
            | UInt64(byte(10)) << 40
    }
    /// The address of commands with 28 bits.
    var block28: UInt64 {
        UInt64(byte(4)) | UInt64(byte(5)) << 8 | UInt64(byte(6)) << 16 | UInt64(device & 0xf) << 24
    }
    /// Cylinder, head and sector, for drivers that do not use block addresses.
    var isByCylinder: Bool { device & 0x40 == 0 }
    var cylinder: UInt64 { UInt64(byte(5)) | UInt64(byte(6)) << 8 }
    var head: UInt64 { UInt64(device & 0xf) }
    var sector: UInt64 { UInt64(byte(4)) }
    /// The tag of a queued command.
    var tag: Int { Int(byte(12) >> 3) }
    /// Queued and extended writes: force unit access.
    var isDurable: Bool { device & 0x80 != 0 }
}

/// Command codes (ATA8-ACS, section 7).
enum ATAOpcode {
    static let dataSetManagement: UInt8 = 0x06
    static let readSectors: UInt8 = 0x20
    static let readSectorsNoRetry: UInt8 = 0x21
    static let readSectorsExt: UInt8 = 0x24
    static let readDMAExt: UInt8 = 0x25
    static let readMultipleExt: UInt8 = 0x29
    static let readLogExt: UInt8 = 0x2f
    static let writeSectors: UInt8 = 0x30
    static let writeSectorsNoRetry: UInt8 = 0x31
    static let writeSectorsExt: UInt8 = 0x34
    static let writeDMAExt: UInt8 = 0x35
    static let writeMultipleExt: UInt8 = 0x39
    static let writeDMAFUAExt: UInt8 = 0x3d
    static let readVerify: UInt8 = 0x40
    static let readVerifyExt: UInt8 = 0x42
    static let readLogDMAExt: UInt8 = 0x47
    static let readFPDMA: UInt8 = 0x60
    static let writeFPDMA: UInt8 = 0x61
    static let executeDiagnostic: UInt8 = 0x90
    static let initializeParameters: UInt8 = 0x91
    static let packet: UInt8 = 0xa0
    static let identifyPacketDevice: UInt8 = 0xa1
    static let readMultiple: UInt8 = 0xc4
    static let writeMultiple: UInt8 = 0xc5
    static let setMultiple: UInt8 = 0xc6
    static let readDMA: UInt8 = 0xc8
    static let readDMANoRetry: UInt8 = 0xc9
    static let writeDMA: UInt8 = 0xca
    static let writeDMANoRetry: UInt8 = 0xcb
    static let writeMultipleFUAExt: UInt8 = 0xce
    static let standbyImmediate: UInt8 = 0xe0
    static let idleImmediate: UInt8 = 0xe1
    static let standby: UInt8 = 0xe2
    static let idle: UInt8 = 0xe3
    static let checkPowerMode: UInt8 = 0xe5
    static let sleep: UInt8 = 0xe6
    static let flushCache: UInt8 = 0xe7
    static let flushCacheExt: UInt8 = 0xea
    static let identifyDevice: UInt8 = 0xec
    static let setFeatures: UInt8 = 0xef
}

/// Bits of the status and error registers.
enum ATAStatus {
    static let error: UInt8 = 0x01
    static let dataRequest: UInt8 = 0x08
    static let seekComplete: UInt8 = 0x10
    static let ready: UInt8 = 0x40
    static let busy: UInt8 = 0x80
    static let good = ready | seekComplete

    /// In the error register: aborted, or not known.
    static let aborted: UInt8 = 0x04
    static let notFound: UInt8 = 0x10
    static let uncorrectable: UInt8 = 0x40
    /// Data lost on the way.
    static let interfaceCRC: UInt8 = 0x80
}
