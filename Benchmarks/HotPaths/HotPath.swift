import Counters
import Linux

/// Something the monitor does over and over while a guest runs.
struct HotPath {
    let name: String
    /// How many operations one round has.
    let operations: Int
    /// Does the operation so many times.
    let body: (Int) -> Void
    /// Called when it has been measured, or is not wanted.
    let finish: () -> Void

    init(
        _ name: String, operations: Int, finish: @escaping () -> Void = {}, _ body: @escaping (Int) -> Void
    ) {
        self.name = name
        self.operations = operations
        self.body = body
        self.finish = finish
    }
}

/// What a number of operations cost.
struct Cost {
    var operations: Int
    var nanoseconds: UInt64
    var allocations: Int
    var retains: Int
    var releases: Int

    var isClean: Bool { allocations == 0 && retains == 0 && releases == 0 }

    /// Runs a path and counts.
    ///
    /// Counted twice, with N and with 2N operations; the difference is what N operations cost, without what belongs to
    /// the start and the end of a run. In a clean path even the smallest steady cost shows.
    static func measure(_ path: HotPath, operations: Int) -> Cost {
        path.body(min(operations, 500))  // buffers grow to their size, lazy things come to be
        let (once, _) = count(path, operations)
        let (twice, nanoseconds) = count(path, 2 * operations)
        func difference(_ field: KeyPath<wafer_counts, UInt64>) -> Int {
            Int(twice[keyPath: field]) - Int(once[keyPath: field])
        }
        return Cost(
            operations: operations, nanoseconds: nanoseconds / UInt64(2 * operations),
            allocations: difference(\.allocations), retains: difference(\.retains), releases: difference(\.releases))
    }

    private static func count(_ path: HotPath, _ operations: Int) -> (wafer_counts, UInt64) {
        let start = monotonicNanoseconds()
        wafer_counting_start()
        path.body(operations)
        let counts = wafer_counting_stop()
        return (counts, monotonicNanoseconds() - start)
    }
}
