/// Finds out what time it is from what several servers say (RFC 5905, section 11.2): those whose claims overlap outvote those that
/// are wrong.
public enum NTPSelection {
    /// The offset to believe, or nil if there is no majority.
    ///
    /// Each claim is an interval, offset ± distance. The intersection of Marzullo's algorithm as changed in section 11.2.1 is found
    /// by counting interval ends; claims whose middle lies in it survive, and are averaged by the inverse of their distance.
    public static func combine(_ samples: [NTPSample]) -> (offset: Double, survivors: Int)? {
        guard let range = intersection(samples) else { return nil }
        let survivors = samples.filter { range.contains($0.offset) }
        var weights = 0.0
        var sum = 0.0
        for sample in survivors {
            let weight = 1 / max(sample.distance, 1e-6)
            weights += weight
            sum += weight * sample.offset
        }
        guard weights > 0 else { return nil }
        return (sum / weights, survivors.count)
    }

    /// The smallest interval that holds points of as many claims as possible, with fewer than half of all being wrong.
    static func intersection(_ samples: [NTPSample]) -> ClosedRange<Double>? {
        var edges: [(value: Double, kind: Int)] = []
        for sample in samples where sample.offset.isFinite && sample.distance.isFinite {
            edges.append((sample.offset - sample.distance, -1))
            edges.append((sample.offset, 0))
            edges.append((sample.offset + sample.distance, 1))
        }
        edges.sort { ($0.value, $0.kind) < ($1.value, $1.kind) }
        let count = edges.count / 3
        var wrong = 0
        while 2 * wrong < count {
            let (low, outsideLow) = scan(edges, needed: count - wrong, opening: -1)
            let (high, outsideHigh) = scan(edges.reversed(), needed: count - wrong, opening: 1)
            if let low, let high, low <= high, outsideLow + outsideHigh <= wrong { return low...high }
            wrong += 1
        }
        return nil
    }

    /// From one end: the first point that `needed` intervals have in common, and how many middles lie before it.
    private static func scan(
        _ edges: [(value: Double, kind: Int)], needed: Int, opening: Int
    ) -> (edge: Double?, middles: Int) {
        var open = 0
        var middles = 0
        for edge in edges {
            if edge.kind == opening { open += 1 }
            if open >= needed { return (edge.value, middles) }
            if edge.kind == -opening { open -= 1 }
            if edge.kind == 0 { middles += 1 }
        }
        return (nil, middles)
    }
}
