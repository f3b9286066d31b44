import CLinux
import FuzzTargets
import Testing

/// A file of a corpus.
struct CorpusInput: CustomTestStringConvertible, Sendable {
    var target: FuzzTarget
    var path: String

    var testDescription: String { path }

    /// Every input that lies in `Fuzz/NAME/corpus`, by name.
    static let all: [CorpusInput] = FuzzTarget.all.flatMap { target in
        let folder = "\(root)/Fuzz/\(target.name)/corpus"
        return names(in: folder).sorted().map { CorpusInput(target: target, path: "\(folder)/\($0)") }
    }

    /// The package's folder, from where this file lies in it.
    private static let root = #filePath.split(separator: "/").dropLast(3).reduce("") { "\($0)/\($1)" }

    private static func names(in folder: String) -> [String] {
        guard let directory = opendir(folder) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name.utf8.first != UInt8(ascii: ".") { names.append(name) }
        }
        return names
    }

    func bytes() -> [UInt8]? {
        guard let file = fopen(path, "r") else { return nil }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while case let count = fread(&chunk, 1, chunk.count, file), count > 0 { bytes += chunk[..<count] }
        return bytes
    }
}

@Suite("Corpora of the fuzz targets")
struct FuzzCorpusTests {
    @Test("an input that a fuzzer found or began with does no harm", arguments: CorpusInput.all)
    func replay(input: CorpusInput) throws {
        let bytes = try #require(input.bytes())
        input.target.run(bytes)
    }

    @Test("every target has a corpus", arguments: FuzzTarget.all.map(\.name))
    func corpora(name: String) {
        #expect(CorpusInput.all.contains { $0.target.name == name })
    }
}
