// Counts allocations and reference counting on the paths that run while a guest runs.
//
//     hotpaths [--quick] [--trace] [NAME-PART ...]
//
// Prints one line a path: calls per 1000 operations, which must all be zero, and the time of one operation. Exit status 1 if
// a path that must be clean is not. With --trace, the first offending calls are shown with their callers.

import Counters
import Linux

let arguments = CommandLine.arguments.dropFirst()
let quick = arguments.contains("--quick")
let trace = arguments.contains("--trace")
let wanted = arguments.filter { !$0.hasPrefix("--") }

wafer_counting_prepare()

func cell(_ text: String, _ width: Int) -> String {
    String(repeating: " ", count: max(0, width - text.utf8.count)) + text
}

func perThousand(_ count: Int, _ operations: Int) -> String {
    if count == 0 { return "0" }
    let tenths = (count * 10_000 + operations / 2) / operations
    return "\(tenths / 10).\(tenths % 10)"
}

func pathName(_ text: String) -> String { text + String(repeating: " ", count: max(0, 50 - text.utf8.count)) }

var unclean: [String] = []
/// Devices with threads of their own must outlive the program's end.
var kept: [HotPath] = []
writeToStandardOutput(
    pathName("path") + ["operations", "allocations", "retains", "releases", "ns"].map { cell($0, 13) }.joined() + "\n")
for makePaths in allPaths {
    let paths: [HotPath]
    do {
        paths = try makePaths()
    } catch {
        writeToStandardOutput("skipped: \(error)\n")
        continue
    }
    kept += paths
    for path in paths {
        defer { path.finish() }
        guard wanted.isEmpty || wanted.contains(where: { path.name.contains($0) }) else { continue }
        let operations = quick ? max(path.operations / 10, 1000) : path.operations
        var cost = Cost.measure(path, operations: operations)
        // All threads are counted, and one that starts or ends elsewhere shows once; what a path does shows every time.
        for _ in 0..<2 where !cost.isClean { cost = Cost.measure(path, operations: operations) }
        let numbers = [
            "\(cost.operations)", perThousand(cost.allocations, cost.operations),
            perThousand(cost.retains, cost.operations), perThousand(cost.releases, cost.operations),
            "\(cost.nanoseconds)",
        ]
        let verdict = cost.isClean ? "" : "  <- must be zero"
        writeToStandardOutput(pathName(path.name) + numbers.map { cell($0, 13) }.joined() + verdict + "\n")
        if cost.isClean { continue }
        unclean.append(path.name)
        if trace {
            wafer_counting_trace(60)
            wafer_counting_start()
            path.body(50)
            _ = wafer_counting_stop()
            wafer_counting_print_trace()
        }
    }
}
if !unclean.isEmpty {
    writeToStandardError("not clean: \(unclean.joined(separator: ", "))\n")
    exitProcess(1)
}
