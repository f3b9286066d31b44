import Linux
import Log

/// `wafer modprobe`: what the kernel runs when it wants a module by itself, for a file system or a cipher say.
public enum Modprobe {
    /// Loads what each argument names; options are ignored.
    ///
    /// - Returns: the exit status: zero if everything is there.
    public static func run(_ arguments: [String]) -> Int32 {
        let loader = ModuleLoader(console: Console(Log("modprobe")))
        var status: Int32 = 0
        for argument in arguments where !argument.hasPrefix("-") {
            if !loader.loadAny(argument) { status = 1 }
        }
        return status
    }
}
