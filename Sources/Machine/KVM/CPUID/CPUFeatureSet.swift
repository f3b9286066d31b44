/// Feature bits by register.
public struct CPUFeatureSet: Hashable, Sendable {
    private var words = [UInt32](repeating: 0, count: CPUFeature.Word.allCases.count)

    /// No features.
    public init() {}

    /// The features that a processor, or KVM, reports.
    public init(_ entries: [CPUIDEntry]) {
        for word in CPUFeature.Word.allCases {
            let entry = entries.first { $0.leaf == word.leaf && $0.subleaf == word.subleaf }
            if let entry { self[word] = word.value(in: entry) }
        }
    }

    /// Features by name, separated by spaces.
    ///
    /// - Precondition: all of them have names here.
    init(_ names: StaticString) {
        for name in "\(names)".split(separator: " ") {
            guard let feature = CPUFeature(named: String(name)) else { preconditionFailure("no feature \(name)") }
            insert(feature)
        }
    }

    public subscript(word: CPUFeature.Word) -> UInt32 {
        get { words[word.rawValue] }
        set { words[word.rawValue] = newValue }
    }

    public func contains(_ feature: CPUFeature) -> Bool { self[feature.word] >> UInt32(feature.bit) & 1 != 0 }

    public mutating func insert(_ feature: CPUFeature) { self[feature.word] |= 1 << UInt32(feature.bit) }

    public mutating func remove(_ feature: CPUFeature) { self[feature.word] &= ~(1 << UInt32(feature.bit)) }

    /// Puts features in or takes them out, by name and separated by spaces.
    ///
    /// - Precondition: all of them have names here.
    mutating func set(_ names: StaticString, _ on: Bool) {
        let named = CPUFeatureSet(names)
        self = on ? union(named) : subtracting(named)
    }

    private func combined(_ other: CPUFeatureSet, _ operation: (UInt32, UInt32) -> UInt32) -> CPUFeatureSet {
        var result = self
        for word in CPUFeature.Word.allCases { result[word] = operation(self[word], other[word]) }
        return result
    }

    public func union(_ other: CPUFeatureSet) -> CPUFeatureSet { combined(other, |) }
    public func intersection(_ other: CPUFeatureSet) -> CPUFeatureSet { combined(other, &) }
    public func subtracting(_ other: CPUFeatureSet) -> CPUFeatureSet { combined(other) { $0 & ~$1 } }

    /// Whether there is no bit at all, named or not.
    public var isEmpty: Bool { words.allSatisfy { $0 == 0 } }

    /// The features that have names here, in the order of `CPUFeature.all`.
    public var features: [CPUFeature] { CPUFeature.all.filter(contains) }
}
