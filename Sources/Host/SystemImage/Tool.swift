import Linux

/// A program of Debian's that runs beside us.
struct Tool {
    private let name: String
    private let process: Int32

    /// Starts it.
    ///
    /// - Parameters:
    ///   - input: a file that it reads as its standard input; nil for none.
    ///   - output: a file that it writes its standard output to; nil to show that to the user.
    init(_ path: String, _ arguments: [String], input: String? = nil, output: String? = nil) throws(ImageError) {
        name = Files.name(of: path)
        do throws(SystemError) {
            let source = try Descriptor(opening: input ?? "/dev/null", .readOnly)
            var launch = Launch(
                path: path, arguments: [name] + arguments, environment: ["LC_ALL=C", "PATH=/usr/bin:/bin"])
            if let output {
                let target = try Descriptor(opening: output, [.writeOnly, .create, .truncate])
                launch.descriptors = [source.raw, target.raw, 2]
                process = try launch.start()
            } else {
                launch.descriptors = [source.raw, 1, 2]
                process = try launch.start()
            }
        } catch { throw .system(error) }
    }

    /// Waits until it has succeeded.
    func wait() throws(ImageError) {
        let status = try describingFailure { () throws(SystemError) in try Child.wait(for: process) }
        guard status == .exited(0) else { throw .tool(name, status) }
    }
}
