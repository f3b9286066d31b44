import Foundation
import Testing

/// Debian's ACPI compiler and disassembler (package acpica-tools).
enum IASL {
    static let path = ["/usr/bin/iasl", "/usr/local/bin/iasl"].first {
        FileManager.default.isExecutableFile(atPath: $0)
    }
    static let isInstalled = path != nil
    static let missing: Comment = "iasl is not installed (package acpica-tools)"

    /// What one run printed and left.
    struct Result {
        var status: Int32
        var output: String
        var disassembly: String
    }

    /// Disassembles a table, compiles the result again and returns both programs' output.
    static func roundTrip(_ name: String, _ table: [UInt8]) throws -> Result {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("wafer-iasl-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        try Data(table).write(to: directory.appendingPathComponent("\(name).aml"))
        let first = try run(["-d", "\(name).aml"], in: directory)
        let source = directory.appendingPathComponent("\(name).dsl")
        let disassembly = (try? String(contentsOf: source, encoding: .utf8)) ?? ""
        guard first.status == 0 else {
            return Result(status: first.status, output: first.output, disassembly: disassembly)
        }
        let second = try run(["-p", "again", "\(name).dsl"], in: directory)
        return Result(status: second.status, output: first.output + second.output, disassembly: disassembly)
    }

    /// Loads a table into ACPICA's own interpreter, which Linux and BSD use too, and carries out its debugger's commands.
    static func execute(_ commands: [String], in table: [UInt8]) throws -> String {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("wafer-acpi-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        try Data(table).write(to: directory.appendingPathComponent("table.aml"))
        let interpreter = try #require(path).replacing("iasl", with: "acpiexec")
        return try run(["-b", commands.joined(separator: "; "), "table.aml"], in: directory, program: interpreter)
            .output
    }

    private static func run(
        _ arguments: [String], in directory: URL, program: String? = path
    ) throws -> (status: Int32, output: String) {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: try #require(program))
        process.arguments = arguments
        process.currentDirectoryURL = directory
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardError = pipe
        try process.run()
        let output = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: output, as: UTF8.self))
    }
}
