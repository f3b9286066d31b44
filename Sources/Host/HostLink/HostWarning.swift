/// Something that the first process found wrong with the host, as a sentence for a person.
public struct HostWarning: Equatable, Sendable {
    /// What it is about.
    public enum Topic: String, Sendable {
        case processor, drivers, disks, network, crash
    }
    public var topic: Topic
    public var text: String

    public init(_ topic: Topic, _ text: String) {
        self.topic = topic
        self.text = text
    }

    /// Where the present ones are.
    public static let file = "\(ServiceAddress.directory)/warnings"

    /// The file's text: a line each, topic and sentence with a tab between them.
    public static func text(_ warnings: [HostWarning]) -> String {
        warnings.map { "\($0.topic.rawValue)\t\($0.text)\n" }.joined()
    }

    /// Takes the file's text apart; what is no warning is left out.
    public static func warnings(in text: String) -> [HostWarning] {
        text.split(separator: "\n").compactMap { line in
            let parts = line.split(separator: "\t", maxSplits: 1)
            guard parts.count == 2, let topic = Topic(rawValue: String(parts[0])) else { return nil }
            return HostWarning(topic, String(parts[1]))
        }
    }
}
