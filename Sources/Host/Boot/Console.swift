import Linux

/// What PID 1 tells a person, on the machine's console: a time since power-on and a sentence.
struct Console: Sendable {
    /// Says something that went as it should.
    func note(_ text: String) { say(text) }

    /// Says something that went wrong and what that means.
    func warn(_ text: String) { say("warning: \(text)") }

    private func say(_ text: String) {
        let milliseconds = monotonicNanoseconds() / 1_000_000
        let seconds = "\(milliseconds / 1000)"
        let fraction = "\(1000 + milliseconds % 1000)".dropFirst()
        let padding = String(repeating: " ", count: max(0, 4 - seconds.utf8.count))
        writeToStandardError("[\(padding)\(seconds).\(fraction)] wafer: \(text)\n")
    }
}
