import HostLink
import Linux

/// What a person should know about this host, in a file (`HostWarning.file`) whose sentences the direct console shows.
final class HostWarnings {
    private let console: Console
    private var sentences: [HostWarning] = []

    init(console: Console) { self.console = console }

    /// Says something about a topic, in place of what was said about it before. An empty list withdraws that.
    func set(_ topic: HostWarning.Topic, _ texts: [String]) {
        let before = sentences.filter { $0.topic == topic }.map(\.text)
        guard texts != before else { return }
        for text in texts where !before.contains(text) { console.warn(text) }
        sentences.removeAll { $0.topic == topic }
        sentences += texts.map { HostWarning(topic, $0) }
        do throws(SystemError) {
            try FileSystem.makeDirectory(ServiceAddress.directory)
            try FileSystem.write(HostWarning.text(sentences), to: "\(HostWarning.file).new")
            try renameFile("\(HostWarning.file).new", HostWarning.file)
        } catch { console.warn("\(error)") }
    }
}
