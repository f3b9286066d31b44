public import Linux

/// Why an image cannot be built.
public enum ImageError: Error, Equatable, Sendable, CustomStringConvertible {
    case system(SystemError)
    /// A line of a list of ours says something impossible.
    case list(file: String, line: Int, String)
    case kernel(String)
    case missingModules([String], release: String)
    /// A tool ended with something else than success.
    case tool(String, ExitStatus)
    case loader(String)
    case key(String)
    /// A file system or a bank cannot take what it shall.
    case layout(String)
    /// The image exceeds what flash it may take, both in bytes.
    case tooBig(UInt64, budget: UInt64)

    public var description: String {
        switch self {
        case .system(let error): "\(error)"
        case .list(let file, let line, let why): "\(file):\(line): \(why)"
        case .kernel(let why): why
        case .missingModules(let modules, let release): "kernel \(release) has no \(modules.joined(separator: ", "))"
        case .tool(let tool, let status): "\(tool) \(status)"
        case .loader(let why): why
        case .key(let why): why
        case .layout(let why): why
        case .tooBig(let size, let budget): "the image takes \(size) bytes of flash, \(size - budget) more than it may"
        }
    }
}

/// Does something with files; what fails is a reason why there is no image.
func describingFailure<Result: ~Copyable>(_ body: () throws(SystemError) -> Result) throws(ImageError) -> Result {
    do { return try body() } catch { throw .system(error) }
}

/// A file's bytes.
func content(of path: String) throws(ImageError) -> [UInt8] {
    do { return try readFile(path) } catch { throw .system(error) }
}
