/// The values that Set Features keeps (NVM Express 1.4, section 5.21.1). Plain values: what a snapshot saves.
struct NVMeFeatures: Equatable {
    enum Identifier {
        static let arbitration: UInt8 = 0x01
        static let powerManagement: UInt8 = 0x02
        static let temperatureThreshold: UInt8 = 0x04
        static let errorRecovery: UInt8 = 0x05
        static let volatileWriteCache: UInt8 = 0x06
        static let numberOfQueues: UInt8 = 0x07
        static let interruptCoalescing: UInt8 = 0x08
        static let interruptVector: UInt8 = 0x09
        static let writeAtomicity: UInt8 = 0x0a
        static let asynchronousEvents: UInt8 = 0x0b
    }

    /// Notices about changed namespaces, in the configuration of asynchronous events.
    static let namespaceNotice: UInt32 = 1 << 8

    var arbitration: UInt32 = 0
    var errorRecovery: UInt32 = 0
    var temperatureThreshold: UInt32 = 343
    /// Bit 0: completed writes may sit in a volatile cache.
    var writeCache: UInt32 = 1
    /// Stored and without effect: completions that are ready together interrupt once as it is.
    var interruptCoalescing: UInt32 = 0
    var writeAtomicity: UInt32 = 0
    var asynchronousEvents: UInt32 = 0

    private func path(_ identifier: UInt8) -> WritableKeyPath<NVMeFeatures, UInt32>? {
        switch identifier {
        case Identifier.arbitration: \.arbitration
        case Identifier.errorRecovery: \.errorRecovery
        case Identifier.temperatureThreshold: \.temperatureThreshold
        case Identifier.volatileWriteCache: \.writeCache
        case Identifier.interruptCoalescing: \.interruptCoalescing
        case Identifier.writeAtomicity: \.writeAtomicity
        case Identifier.asynchronousEvents: \.asynchronousEvents
        default: nil
        }
    }

    /// The value of a feature of one word; nil if there is no such feature.
    subscript(identifier: UInt8) -> UInt32? { path(identifier).map { self[keyPath: $0] } }

    /// Changes a feature of one word.
    ///
    /// - Returns: false if there is no such feature.
    mutating func set(_ identifier: UInt8, _ value: UInt32) -> Bool {
        guard let path = path(identifier) else { return false }
        let mask: UInt32 = identifier == Identifier.volatileWriteCache ? 1 : .max
        self[keyPath: path] = value & mask
        return true
    }
}
