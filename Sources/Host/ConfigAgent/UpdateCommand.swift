import ConfigService
import HostLink
import Linux

/// `wafer update`: brings the host to another version.
public enum UpdateCommand {
    static let usage = """
        usage: wafer update [--socket PATH] FILE

        Writes an update to the boot bank that does not run, once its signature and all that is signed are found good. The next
        start tries it; if the host does not come up well, the start after that is as before.

        Exit status: 0 done, 1 refused, 64 wrong usage, 69 the configuration agent does not answer, 74 the file cannot be read.

        """

    public static func run(_ arguments: [String]) -> Int32 {
        Report.run("wafer update", usage, arguments) { (words, socket) throws(CommandError) in
            guard words.count == 1, let path = words.first else { return false }
            let result = try send(path, to: socket)
            writeToStandardOutput("\(result)\n")
            return true
        }
    }

    private static func send(_ path: String, to socket: String) throws(CommandError) -> String {
        let file = try open(path)
        let size: UInt64
        do { size = try file.properties().size } catch { throw .file(error) }
        let client = try Report.asking { () throws(ServiceError) in try ServiceClient(socket) }
        _ = try Report.asking { () throws(ServiceError) in try client.ask(BeginUpdate(size: size)) }
        // Once to be checked, once to be written.
        for _ in 0..<2 { try send(file, size, path, client) }
        return try Report.asking { () throws(ServiceError) in try client.ask(FinishUpdate(), milliseconds: 600_000) }
    }

    private static func send(
        _ file: borrowing Descriptor, _ size: UInt64, _ path: String, _ client: ServiceClient
    ) throws(CommandError) {
        var sent: UInt64 = 0
        while sent < size {
            let chunk: [UInt8]
            do throws(SystemError) {
                chunk = try file.contents(upTo: ConfigService.chunkMax, at: Int64(clamping: sent), path)
                // The file became shorter meanwhile; it will be found too short.
                if chunk.isEmpty { break }
            } catch { throw .file(error) }
            _ = try Report.asking { () throws(ServiceError) in
                try client.ask(UpdateData(chunk), milliseconds: 120_000)
            }
            sent += UInt64(chunk.count)
        }
    }

    private static func open(_ path: String) throws(CommandError) -> Descriptor {
        do { return try Descriptor(opening: path, .readOnly) } catch { throw .file(error) }
    }
}
