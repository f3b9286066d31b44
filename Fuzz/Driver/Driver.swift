import FuzzTargets
import Glibc

/// libFuzzer's loop: takes its options from the arguments and calls the test for every input.
@_silgen_name("LLVMFuzzerRunDriver")
private func runLibFuzzer(
    _ count: UnsafeMutablePointer<CInt>,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>,
    _ test: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt
) -> CInt

/// Written once before libFuzzer starts, then only read.
nonisolated(unsafe) private var selected: FuzzTarget?

@main
struct Driver {
    /// The target comes from the environment, because libFuzzer takes every argument that is no option for a corpus, and starts
    /// this program again with the same arguments for its parallel modes.
    static func main() {
        let name = getenv("WAFER_FUZZ_TARGET").map { String(cString: $0) } ?? ""
        guard let target = FuzzTarget.all.first(where: { $0.name == name }) else {
            print("WAFER_FUZZ_TARGET must be one of: \(FuzzTarget.all.map(\.name).joined(separator: " "))")
            exit(2)
        }
        selected = target
        var count = CommandLine.argc
        var arguments = CommandLine.unsafeArgv
        exit(
            runLibFuzzer(&count, &arguments) { data, count in
                selected?.run(Array(UnsafeBufferPointer(start: data, count: count)))
                return 0
            })
    }
}
