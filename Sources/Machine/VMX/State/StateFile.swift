import GuestMemory
import Linux
import SavedState

extension Machine {
    /// Writes all of the machine to a file, which has its name when it is whole.
    func save(to path: String, uuid: [UInt8]) throws(StateError) {
        let sections = try takeState(uuid: uuid)
        let random: [UInt8]
        do throws(SystemError) { random = try Random.bytes(8) } catch { throw .system(error) }
        let sink = try StateFileSink(path)
        let writer = try StateWriter(
            sink, stream: random.reduce(0) { $0 << 8 | UInt64($1) }, program: "Wafer \(Version.text)")
        try writer.write(sections)
        try writeMemory(writer)
        try writer.finish()
        try sink.finish()
        log.info("State: \(sections.count) sections and \(writer.pagesWritten >> 8) MiB of memory in \(path)")
    }

    private func writeMemory(_ writer: StateWriter) throws(StateError) {
        let pages = savedMemory
        for region in memory.regions {
            let start = region.fileOffset
            let end = start + region.count
            var offset = start
            while let touched = memory.nextTouched(from: offset), touched.lowerBound < end {
                let first = (max(touched.lowerBound, start) - start) >> 12
                let last = (min(touched.upperBound, end) - start + 4095) >> 12
                let base = region.start >> 12
                try writer.write(base + UInt64(first)..<base + UInt64(last), of: pages, isFirst: true)
                offset = touched.upperBound
            }
        }
    }

    /// Guest memory, for streams of saved state. As long as the machine lives.
    private var savedMemory: StateMemory {
        var pages = StateMemory()
        for region in memory.regions {
            unsafe pages.add(region.start, memory.host(of: region), count: region.count)
        }
        return pages
    }

    /// Reads a file into a machine that has not run yet. What does not fit is found before anything of the machine is changed but memory.
    func load(from path: String, uuid: [UInt8]) throws(StateError) {
        let reader = try StateReader(try StateFileSource(path))
        let pages = savedMemory
        var state: SavedMachine?
        var count = 0
        reading: while true {
            switch try reader.next(into: pages) {
            case .sections(let sections):
                guard state == nil else { throw .doubledSection(SavedShape.section) }
                state = try SavedMachine(sections, for: self, uuid: uuid)
            case .pages(let more): count += more
            case .end: break reading
            }
        }
        guard let state else { throw .missingSection(SavedShape.section) }
        try restore(state)
        log.info("State: \(count >> 8) MiB of memory from \(path), written by \(reader.program)")
    }
}
