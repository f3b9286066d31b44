import Linux
import VMX
import VMXControl

let usage = """
    usage: wafer COMMAND [ARGUMENT...]

      vmx FILE.vmx   run a virtual machine
      vm COMMAND     control a virtual machine that runs
      --version      say which Wafer this is

    `wafer COMMAND --help` explains a command.

    """

/// One binary, many processes: which one is in the first argument.
func dispatch(_ arguments: ArraySlice<String>) -> Int32 {
    let rest = Array(arguments.dropFirst())
    switch arguments.first {
    case "vmx": return VMXProcess.run(rest)
    case "vm": return ControlCommand.run(rest)
    case "--version", "version":
        writeToStandardOutput("wafer \(Version.text)\n")
        return 0
    case "--help", "-h", "help":
        writeToStandardOutput(usage)
        return 0
    case let command?:
        writeToStandardError("wafer: there is no command \(command)\n\(usage)")
        return ExitCode.usage.rawValue
    case nil:
        writeToStandardError(usage)
        return ExitCode.usage.rawValue
    }
}

exitProcess(dispatch(CommandLine.arguments.dropFirst()))
