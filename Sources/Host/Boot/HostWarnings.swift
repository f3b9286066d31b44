import HostLink
import Linux

/// What a person should know about this host, one sentence a line, in a file that the direct console shows.
final class HostWarnings {
    static let file = "\(ServiceAddress.directory)/warnings"

    private let console: Console
    private var sentences: [(topic: String, text: String)] = []

    init(console: Console) { self.console = console }

    /// Says something about a topic, in place of what was said about it before. An empty list withdraws that.
    func set(_ topic: String, _ texts: [String]) {
        let before = sentences.filter { $0.topic == topic }.map(\.text)
        guard texts != before else { return }
        for text in texts where !before.contains(text) { console.warn(text) }
        sentences.removeAll { $0.topic == topic }
        sentences += texts.map { (topic, $0) }
        let all = sentences.map { "\($0.text)\n" }.joined()
        do throws(SystemError) {
            try FileSystem.makeDirectory(ServiceAddress.directory)
            try FileSystem.write(all, to: "\(Self.file).new")
            try renameFile("\(Self.file).new", Self.file)
        } catch { console.warn("\(error)") }
    }
}
