import Bytes
import Linux

/// A frame that a well-behaved client does not send.
enum LabProtocolError: Error, Equatable, CustomStringConvertible {
    case cutOff
    case notAllowed

    var description: String {
        switch self {
        case .cutOff: "it ends too early"
        case .notAllowed: "it is not allowed there"
        }
    }
}

/// What a client asks of a new channel.
enum LabRequest: Equatable {
    case start(LabStart)
    case put(path: String, permissions: UInt32)
    case get(path: String)
    case connect(path: String)
    case list(path: String)
    case processes
    case wait(path: String, milliseconds: UInt32)
    case makeDirectory(path: String)
    case remove(path: String)
    case power(Kernel.Power)

    init(_ kind: LabFrame.Kind, _ body: Span<UInt8>) throws(LabProtocolError) {
        var fields = LabFields(body)
        do {
            switch kind {
            case .start: self = .start(try LabStart(&fields))
            case .put: self = .put(path: try fields.string(), permissions: try fields.word() & 0o7777)
            case .get: self = .get(path: try fields.string())
            case .connect: self = .connect(path: try fields.string())
            case .list: self = .list(path: try fields.string())
            case .processes: self = .processes
            case .wait: self = .wait(path: try fields.string(), milliseconds: try fields.word())
            case .makeDirectory: self = .makeDirectory(path: try fields.string())
            case .remove: self = .remove(path: try fields.string())
            case .power: self = .power(try fields.byte() == 1 ? .restart : .off)
            default: throw LabProtocolError.notAllowed
            }
        } catch let error as LabProtocolError {
            throw error
        } catch { throw .cutOff }
    }
}

/// The process a client wants.
struct LabStart: Equatable {
    var detached: Bool
    var directory: String
    var output: String
    var arguments: [String]
    var environment: [String]

    init(_ fields: inout LabFields) throws(OutOfBounds) {
        detached = try fields.word() & 1 != 0
        directory = try fields.string()
        output = try fields.string()
        arguments = try fields.strings()
        environment = try fields.strings()
    }

    /// Finds the executable.
    func launch() throws(SystemError) -> Launch {
        guard let name = arguments.first else { throw SystemError.invalid("start", "a process without a name") }
        let environment = environment.isEmpty ? ProcessDefaults.environment : environment
        return Launch(
            path: ProcessDefaults.path(of: name), arguments: arguments, environment: environment,
            directory: directory.isEmpty ? nil : directory)
    }

    /// Starts it with no ties to the channel.
    func startDetached(_ launch: Launch) throws(SystemError) -> Int32 {
        let input = try Descriptor(opening: "/dev/null", .readOnly)
        let target = output.isEmpty ? "/dev/null" : output
        let output = try Descriptor(opening: target, [.writeOnly, .create, .append])
        var launch = launch
        launch.descriptors = [input.raw, output.raw, output.raw]
        return try launch.start()
    }
}

/// How PID 1 starts processes unless it is told otherwise.
enum ProcessDefaults {
    static let environment = ["PATH=/bin:/usr/bin:/sbin:/usr/sbin", "HOME=/", "TERM=linux"]

    /// `wafer` is this very executable, whatever root directory is current; other bare names are looked up.
    static func path(of name: String) -> String {
        if name == "wafer" { return "/proc/self/exe" }
        if name.utf8.contains(UInt8(ascii: "/")) { return name }
        for directory in ["/bin", "/usr/bin", "/sbin", "/usr/sbin"] where fileExists("\(directory)/\(name)") {
            return "\(directory)/\(name)"
        }
        return name
    }
}
