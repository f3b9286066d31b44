import Linux

/// What one channel does.
protocol LabActivity: AnyObject {
    /// What it waits for now.
    func watches(_ sink: any LabSink) -> [Watch]
    /// Something happened, or time passed.
    ///
    /// - Returns: true when it has sent its last frame.
    func advance(_ sink: any LabSink) -> Bool
    /// Bytes for one of its streams. False: the client may not send them.
    func data(stream: UInt8, _ bytes: ArraySlice<UInt8>, _ sink: any LabSink) -> Bool
    func end(stream: UInt8)
    func grant(stream: UInt8, _ bytes: UInt32)
    func signal(_ number: CInt)
    func childEnded(_ process: Int32, _ status: ExitStatus)
    /// The client went away or closed the channel: undo what is half done.
    func abandon()
    /// When to be asked to advance even if nothing happens.
    var deadline: UInt64? { get }
}

extension LabActivity {
    func data(stream: UInt8, _ bytes: ArraySlice<UInt8>, _ sink: any LabSink) -> Bool { false }
    func end(stream: UInt8) {}
    func grant(stream: UInt8, _ bytes: UInt32) {}
    func signal(_ number: CInt) {}
    func childEnded(_ process: Int32, _ status: ExitStatus) {}
    func abandon() {}
    var deadline: UInt64? { nil }
}

/// A process with its three streams.
final class LabProcess: LabActivity {
    private let channel: UInt32
    private let process: Int32
    private let input: LabInlet
    private let outlets: [LabOutlet]
    private var status: ExitStatus?

    /// Starts it.
    init(channel: UInt32, launch: Launch, _ sink: any LabSink) throws(SystemError) {
        var input = try Pipe()
        var output = try Pipe()
        var errors = try Pipe()
        guard let inputRead = input.takeReadEnd(), let inputWrite = input.takeWriteEnd(),
            let outputRead = output.takeReadEnd(), let outputWrite = output.takeWriteEnd(),
            let errorRead = errors.takeReadEnd(), let errorWrite = errors.takeWriteEnd()
        else { preconditionFailure("a new pipe has both ends") }
        try inputWrite.setNonBlocking()
        try outputRead.setNonBlocking()
        try errorRead.setNonBlocking()
        var launch = launch
        launch.descriptors = [inputRead.raw, outputWrite.raw, errorWrite.raw]
        process = try launch.start()
        self.channel = channel
        self.input = LabInlet(inputWrite, channel: channel)
        outlets = [
            LabOutlet(outputRead, channel: channel, stream: 1), LabOutlet(errorRead, channel: channel, stream: 2),
        ]
        sink.send(.opened, channel, littleEndian(UInt32(bitPattern: process)))
    }

    func watches(_ sink: any LabSink) -> [Watch] {
        (outlets.map { $0.watch(sink) } + [input.watch(sink)]).compactMap { $0 }
    }

    func advance(_ sink: any LabSink) -> Bool {
        guard let status else { return false }
        for outlet in outlets { outlet.pump(sink) }
        guard outlets.allSatisfy({ $0.isEnded }) else { return false }
        switch status {
        case .exited(let value): sink.send(.exited, channel, [0] + littleEndian(UInt32(value)))
        case .signalled(let number): sink.send(.exited, channel, [1] + littleEndian(UInt32(bitPattern: number)))
        }
        return true
    }

    func data(stream: UInt8, _ bytes: ArraySlice<UInt8>, _ sink: any LabSink) -> Bool {
        stream == 0 && input.take(bytes, sink)
    }

    func end(stream: UInt8) { if stream == 0 { input.end() } }

    func grant(stream: UInt8, _ bytes: UInt32) {
        if (1...2).contains(stream) { outlets[Int(stream) - 1].grant(bytes) }
    }

    func signal(_ number: CInt) { if status == nil { Child.signal(-process, number) } }

    func childEnded(_ process: Int32, _ status: ExitStatus) {
        guard process == self.process else { return }
        self.status = status
        for outlet in outlets { outlet.isDraining = true }
    }

    func abandon() { signal(9) }
}

/// A connection to a Unix socket.
final class LabRelay: LabActivity {
    private let channel: UInt32
    private let inlet: LabInlet
    private let outlet: LabOutlet

    init(channel: UInt32, path: String, _ sink: any LabSink) throws(SystemError) {
        let stream = try UnixSocket.connect(path)
        try stream.setNonBlocking()
        self.channel = channel
        inlet = LabInlet(try stream.duplicate(), channel: channel, isSocket: true)
        outlet = LabOutlet(stream, channel: channel, stream: 1)
        sink.send(.opened, channel, littleEndian(0))
    }

    func watches(_ sink: any LabSink) -> [Watch] { [outlet.watch(sink), inlet.watch(sink)].compactMap { $0 } }

    func advance(_ sink: any LabSink) -> Bool {
        guard outlet.isEnded else { return false }
        sink.send(.done, channel, [])
        return true
    }

    func data(stream: UInt8, _ bytes: ArraySlice<UInt8>, _ sink: any LabSink) -> Bool {
        stream == 0 && inlet.take(bytes, sink)
    }

    func end(stream: UInt8) { if stream == 0 { inlet.end() } }
    func grant(stream: UInt8, _ bytes: UInt32) { if stream == 1 { outlet.grant(bytes) } }
}

/// A file, or text made here, sent to the client.
final class LabSource: LabActivity {
    private let channel: UInt32
    private let outlet: LabOutlet

    init(channel: UInt32, file: consuming Descriptor, _ sink: any LabSink) {
        self.channel = channel
        outlet = LabOutlet(file, channel: channel, stream: 1)
        sink.send(.opened, channel, littleEndian(0))
    }

    func watches(_ sink: any LabSink) -> [Watch] { [outlet.watch(sink)].compactMap { $0 } }

    func advance(_ sink: any LabSink) -> Bool {
        guard outlet.isEnded else { return false }
        sink.send(.done, channel, [])
        return true
    }

    func grant(stream: UInt8, _ bytes: UInt32) { if stream == 1 { outlet.grant(bytes) } }
}

/// A file written by the client: under another name until it is whole.
final class LabPut: LabActivity {
    private let channel: UInt32
    private let path: String
    private let file: Descriptor
    private var failure: SystemError?
    private var ended = false
    private var temporary: String { "\(path).lab-\(channel)" }

    init(channel: UInt32, path: String, permissions: UInt32, _ sink: any LabSink) throws(SystemError) {
        self.channel = channel
        self.path = path
        let temporary = "\(path).lab-\(channel)"
        file = try Descriptor(opening: temporary, [.writeOnly, .create, .truncate], permissions: permissions)
        try file.setPermissions(permissions)
        sink.send(.opened, channel, littleEndian(0))
    }

    func watches(_ sink: any LabSink) -> [Watch] { [] }

    func data(stream: UInt8, _ bytes: ArraySlice<UInt8>, _ sink: any LabSink) -> Bool {
        guard stream == 0 else { return false }
        if failure == nil {
            do { try file.write(all: bytes.span, path) } catch { failure = error }
        }
        sink.sendWord(.credit, channel, stream: 0, UInt32(bytes.count))
        return true
    }

    func end(stream: UInt8) { ended = true }

    func advance(_ sink: any LabSink) -> Bool {
        guard ended || failure != nil else { return false }
        do throws(SystemError) {
            if let failure { throw failure }
            try renameFile(temporary, path)
            sink.send(.done, channel, [])
        } catch {
            abandon()
            sink.fail(channel, error)
        }
        return true
    }

    func abandon() { try? FileSystem.remove(temporary) }
}

/// Waits until something stands at a path.
final class LabWait: LabActivity {
    private let channel: UInt32
    private let path: String
    private let end: UInt64

    init(channel: UInt32, path: String, milliseconds: UInt32) {
        self.channel = channel
        self.path = path
        end = monotonicNanoseconds() + UInt64(milliseconds) * 1_000_000
    }

    func watches(_ sink: any LabSink) -> [Watch] { [] }

    /// Looks again every 20 ms: inotify does not cover /proc, /sys and directories not made yet.
    var deadline: UInt64? { min(end, monotonicNanoseconds() + 20_000_000) }

    func advance(_ sink: any LabSink) -> Bool {
        if fileExists(path) {
            sink.send(.done, channel, [])
            return true
        }
        guard monotonicNanoseconds() >= end else { return false }
        sink.fail(channel, SystemError.timedOut("wait for", path))
        return true
    }
}

extension LabSink {
    /// Ends a channel with an error.
    func fail(_ channel: UInt32, _ error: SystemError) {
        let text = Array("\(error)".utf8)
        send(.failed, channel, littleEndian(UInt32(bitPattern: error.number)) + littleEndian(UInt32(text.count)) + text)
    }
}
