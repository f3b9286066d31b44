import Linux
import SystemImage

exitProcess(ImageCommand.run(Array(CommandLine.arguments.dropFirst())))
