/// What each part of an image takes, and what it may take in all.
public struct SizeTable: Equatable, Sendable {
    /// 32 MB, in bytes as flash is sold.
    public static let budget: UInt64 = 32_000_000

    public struct Row: Equatable, Sendable {
        public var part: String
        /// Bytes as the host has it in memory.
        public var raw: UInt64
        /// Bytes as it lies on flash.
        public var flash: UInt64
    }

    public private(set) var rows: [Row] = []

    mutating func add(_ part: String, raw: Int, flash: Int) {
        rows.append(Row(part: part, raw: UInt64(raw), flash: UInt64(flash)))
    }

    public var total: Row {
        Row(part: "total", raw: rows.reduce(0) { $0 + $1.raw }, flash: rows.reduce(0) { $0 + $1.flash })
    }

    /// Tab-separated, with a header; the last row is the total.
    public var text: String {
        let lines = (rows + [total]).map { "\($0.part)\t\($0.raw)\t\($0.flash)\n" }
        return "part\traw bytes\tbytes on flash\n" + lines.joined()
    }

    /// In columns, for a person.
    public var listing: String {
        func column(_ text: String, _ width: Int, leading: Bool) -> String {
            let filling = String(repeating: " ", count: max(0, width - text.count))
            return leading ? text + filling : filling + text
        }
        let cells =
            [("", "raw bytes", "bytes on flash")] + (rows + [total]).map { ($0.part, "\($0.raw)", "\($0.flash)") }
            + [("budget", "", "\(Self.budget)")]
        return cells.map { part, raw, flash in
            column(part, 14, leading: true) + column(raw, 12, leading: false) + column(flash, 16, leading: false) + "\n"
        }.joined()
    }
}
