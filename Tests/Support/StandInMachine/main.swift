// Stands in for a machine's process where there is no KVM: the same control socket, no guest. What it does is in its `.vmx`
// file's `annotation`, words between spaces:
//
//   broken    complains and ends before it runs
//   asks      waits with a question; choice 0 lets it go on
//   deaf      its guest does not listen to the power button
//   stubborn  its guest listens, and runs on
//   tardy     takes a moment before it listens

import Linux
import Messages
import VMXConfig
import VMXControl

let file = CommandLine.arguments.last ?? ""
guard let document = try? VMXDocument.load(file) else {
    writeToStandardError("wafer vmx: cannot read \(file)\n")
    exitProcess(65)
}
let words = Set((document["annotation"] ?? "").split(separator: " ").map(String.init))
if words.contains("broken") {
    writeToStandardError("warning: this is not a problem\nwafer vmx: its disk is missing\n")
    exitProcess(65)
}
ProcessSignals.ignoreBrokenPipes()
let machine = try StandIn(file, words)
machine.run()
