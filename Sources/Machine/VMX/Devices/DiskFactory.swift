import BlockEngine
import DeviceModel
import GuestMemory
import Linux
import VMDK
import VMXConfig
import Virtio

/// Makes disks from their configuration: opens and locks the image, and puts a controller in front of it.
struct DiskFactory {
    let machine: Machine
    let loops: [EventLoop]
    let configuration: MachineConfiguration
    let log: MachineLog
    /// Asks the administrator about a disk; called on the machine's loop.
    let ask: @Sendable (MachineQuestion) -> Void

    /// A disk image, open and locked.
    struct Opened {
        var backend: any BlockBackend
        /// For people.
        var summary: String
        var release: () -> Void
    }

    /// A virtio disk, which is its own controller.
    func make(_ disk: MachineConfiguration.Disk) throws(StartFailure) -> MachineDevice {
        let name = "\(disk.address)"
        let opened = try open(disk)
        do {
            let device = try VirtioBlock(
                opened.backend, ram: machine.memory.ram, loops: loops,
                queueCount: disk.queueCount ?? min(machine.shape.processors, loops.count))
            let function = try VirtioFactory(machine: machine, log: log).function(device, name)
            return MachineDevice(
                name: name, summary: "virtio disk of \(opened.summary)", function: function,
                bootNode: ("scsi", "disk@0,0"), counters: { Self.counters(device.counters) }, release: opened.release)
        } catch { throw StartFailure(.configuration, "\(name): \(error)") }
    }

    /// Opens and locks a disk's image, and the engine over it.
    func open(_ disk: MachineConfiguration.Disk) throws(StartFailure) -> Opened {
        let name = "\(disk.address)"
        var layout = try layout(of: disk)
        for warning in layout.warnings { log.warning("\(name): \(warning)") }
        do {
            var options = options(for: disk, layout)
            let asking = Asking()
            if configuration.diskErrorPolicy != .report {
                let loop = machine.loop
                let ask = ask
                options.onQuestion = { question in loop.perform { asking.put(question, ask) } }
                options.onWithdrawal = { loop.perform { asking.withdraw() } }
                options.asksOnAnyError = configuration.diskErrorPolicy == .pause
            }
            let backend = try FileBlockBackend(extents(of: layout), options)
            asking.backend = backend
            if !layout.isReadOnly { try layout.markChanged() }
            let access = layout.isReadOnly && disk.medium == .disk ? ", read-only" : ""
            // The layout holds the image's locks.
            return Opened(
                backend: backend, summary: "\(layout.byteCount >> 20) MiB\(access) on \(disk.path)",
                release: { [layout] in withExtendedLifetime(layout) {} })
        } catch { throw StartFailure(.configuration, "\(name): \(error)") }
    }

    private func layout(of disk: MachineConfiguration.Disk) throws(StartFailure) -> DiskLayout {
        var options = DiskImage.Options(owner: .current(name: configuration.displayName))
        options.isReadOnly = disk.isReadOnly
        options.direct = disk.direct
        do throws(DiskError) { return try DiskImage.open(disk.path, options) } catch {
            if case .inUse = error { throw StartFailure(.busy, "\(error)") }
            throw StartFailure(.configuration, "\(disk.address): \(error)")
        }
    }

    private func extents(of layout: DiskLayout) throws -> [DiskExtent] {
        var files: [ObjectIdentifier: BlockFile] = [:]
        return try layout.extents.map { extent in
            switch extent.source {
            case .zeros: return DiskExtent(count: extent.byteCount, source: .zeros)
            case .file(let file, let offset):
                let opened = try files[ObjectIdentifier(file)] ?? blockFile(file)
                files[ObjectIdentifier(file)] = opened
                return DiskExtent(
                    count: extent.byteCount, source: .file(opened, offset: offset), isWritable: extent.isWritable)
            }
        }
    }

    /// The engine's view of an open file: one way around the page cache, if it was opened so, and one through it for what
    /// is not aligned.
    private func blockFile(_ file: DiskFile) throws -> BlockFile {
        let main = try file.descriptor.duplicate()
        guard file.isDirect else { return try BlockFile(adopting: main, cached: nil, name: file.path) }
        let mode = try main.openMode().intersection([.readOnly, .writeOnly, .readWrite])
        // The same open file's inode again, whatever its name leads to by now.
        let cached = try Descriptor(opening: "/proc/self/fd/\(main.raw)", mode)
        return try BlockFile(adopting: main, cached: cached, name: file.path)
    }

    private func options(for disk: MachineConfiguration.Disk, _ layout: DiskLayout) -> FileBlockOptions {
        var options = FileBlockOptions()
        options.isReadOnly = layout.isReadOnly
        options.discards = disk.discard
        options.isWriteThrough = disk.writeThrough
        // A serial number of 20 bytes: first what tells the machine's disks apart, then as much as fits of what tells
        // machines apart.
        let unit = "\(disk.address)".map { $0 == ":" ? "-" : $0 }
        options.identity = String((unit + ["-"] + "\(configuration.uuid)".filter(\.isHexDigit)).prefix(20))
        return options
    }

    /// Turns a disk's question into the machine's. On the machine's loop.
    private final class Asking: @unchecked Sendable {
        // @unchecked: set before the guest runs, then used on the machine's loop.
        weak var backend: FileBlockBackend?
        private var open: MachineQuestion?

        func put(_ question: BlockQuestion, _ ask: (MachineQuestion) -> Void) {
            let question = MachineQuestion(
                text: "The storage of \(question.file) failed: \(question.error). The VM is paused.",
                choices: ["Retry", "Report the error to the guest"]
            ) { [weak backend] choice in backend?.answer(choice == 0 ? .retry : .fail) }
            open = question
            ask(question)
        }

        func withdraw() {
            open?.withdraw()
            open = nil
        }
    }

    /// Sums over queues, for statistics.
    static func counters(_ queues: [BlockCounters]) -> [(name: String, value: UInt64)] {
        var list: [(name: String, value: UInt64)] = []
        let operations: [(String, BlockOperation)] = [
            ("read", .read), ("write", .write), ("flush", .flush), ("discard", .discard), ("zero", .writeZeroes),
        ]
        for (name, operation) in operations {
            var total = BlockCounters.Sum()
            for counters in queues {
                let sum = counters.sum(operation)
                total.requests &+= sum.requests
                total.bytes &+= sum.bytes
                total.nanoseconds &+= sum.nanoseconds
            }
            list.append(("\(name)Requests", total.requests))
            if operation != .flush { list.append(("\(name)Bytes", total.bytes)) }
            list.append(("\(name)Nanoseconds", total.nanoseconds))
        }
        list.append(("errors", queues.reduce(0) { $0 &+ $1.errors }))
        return list
    }
}
