import Boot
import ConfigAgent
import DCUI
import HostDaemon
import HostService
import Linux
import Logging
import VMX
import VMXControl

let usage = """
    usage: wafer COMMAND [ARGUMENT...]

      init           bring up the host, as its first process
      enter ROOT COMMAND [ARGUMENT...]
                     run a command of another userland on this host
      dcui [TTY]     show the direct console on a terminal
      modprobe NAME  load a kernel module; the kernel itself calls this
      hostd          the host agent: keeps virtual machines, checks logins
      host COMMAND   ask the host agent
      log [NAME]     show the host's logs
      configd        keep the settings and boot banks
      settings       look at and change the settings
      update FILE    bring the host to another version
      vmx FILE.vmx   run a virtual machine
      vm COMMAND     control a virtual machine that runs
      --version      say which Wafer this is

    `wafer COMMAND --help` explains a command.

    """

/// One binary, many processes: which one is in the first argument.
func dispatch(_ arguments: ArraySlice<String>) -> Int32 {
    let rest = Array(arguments.dropFirst())
    switch arguments.first {
    case "init":
        if processIdentifier() == 1 { Init.run() }
        writeToStandardError("wafer init: only for the first process of a host\n")
        return ExitCode.usage.rawValue
    case "enter": return Enter.run(rest)
    case "dcui": return DCUIProcess.run(rest)
    case "modprobe": return Modprobe.run(rest)
    case "hostd": return HostProcess.run(rest)
    case "host": return HostCommand.run(rest)
    case "logd": return LogProcess.run(rest)
    case "log": return LogCommand.run(rest)
    case "configd": return ConfigProcess.run(rest)
    case "settings": return SettingsCommand.run(rest)
    case "update": return UpdateCommand.run(rest)
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

/// The command and its arguments. `init` and `modprobe` are also names (links) of the binary. PID 1 is always `init`: the
/// kernel hands it the words of its own command line that it does not understand.
func command() -> ArraySlice<String> {
    if processIdentifier() == 1 { return ["init"] }
    let arguments = CommandLine.arguments
    guard let path = arguments.first else { return [] }
    let name = Files.name(of: path)
    return ["init", "modprobe"].contains(name) ? [name] + arguments.dropFirst() : arguments.dropFirst()
}

exitProcess(dispatch(command()))
