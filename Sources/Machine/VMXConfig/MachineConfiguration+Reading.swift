import Linux

extension MachineConfiguration {
    /// Reads and checks a `.vmx` file. Nothing is written.
    ///
    /// - Parameter path: the file; also its name in messages.
    /// - Throws: everything that is wrong with the file.
    public static func load(_ path: String) throws(ConfigurationError) -> MachineConfiguration {
        let document = try VMXDocument.load(path)
        let random: [UInt8]
        do { random = try Random.bytes(16) } catch { throw ConfigurationError(Diagnostic(file: path, "\(error)")) }
        return try MachineConfiguration(document, newUUID: MachineUUID(random: random))
    }

    /// Checks a document.
    ///
    /// - Parameter newUUID: the machine's UUID if the file has none; `newIdentity` then says so.
    public init(_ document: VMXDocument, newUUID: MachineUUID) throws(ConfigurationError) {
        var reader = ConfigurationReader(document)
        file = document.name
        newIdentity = []
        displayName = reader.line("displayName", limit: 255) ?? Self.defaultName(document.name)
        guestOS = reader.line("guestOS", limit: 64) ?? ""
        firmware = reader.choice("firmware", Firmware.self) ?? .bios
        nvramFile = reader.path("nvram") ?? Self.besides(document.name, "nvram")
        bootDelay = reader.whole("bios.bootDelay", of: "milliseconds", in: 0...10_000) ?? 0
        logsFirmware = reader.boolean("wafer.firmwareLog") ?? false
        (uuid, locationUUID) = Self.readUUIDs(&reader, newUUID: newUUID, newIdentity: &newIdentity)
        memoryMegabytes = Self.readMemory(&reader)
        (processorCount, coresPerSocket) = Self.readProcessors(&reader)
        processorModel = Self.readProcessorModel(&reader)
        nestedVirtualization = reader.boolean("vhv.enable") ?? false
        hypervisor =
            reader.choice("wafer.hypervisor", Hypervisor.self)
            ?? (guestOS.lowercased().hasPrefix("windows") ? .hyperv : .kvm)
        hypervisorVisible = reader.boolean("hypervisor.cpuid.v0") ?? true
        guestVariables = Self.readGuestVariables(&reader)
        toolsSynchronizeTime = reader.boolean("tools.syncTime") ?? false
        hugePages = Self.readHugePages(&reader)
        directBoot = Self.readDirectBoot(&reader)
        ioThreadCount = reader.whole("wafer.iothreads", of: "threads", in: 1...16) ?? 1
        diskErrorPolicy = reader.choice("wafer.diskError", DiskErrorPolicy.self) ?? .pauseWhenFull
        disks = Self.readDisks(&reader)
        networkCards = Self.readNetworkCards(&reader, uuid: uuid, newIdentity: &newIdentity)
        hasScreen = reader.boolean("svga.present") ?? (directBoot == nil)
        videoMemory = Self.readVideoMemory(&reader)
        remoteDisplay = Self.readRemoteDisplay(&reader)
        displaySocket = reader.path("wafer.vnc.socket")
        hasUSB = Self.readUSB(&reader) && hasScreen
        serialPorts = Self.readSerialPorts(&reader)
        console = Self.readConsole(&reader)
        hasRandomDevice = reader.boolean("wafer.rng") ?? true
        hasBalloon = reader.boolean("wafer.balloon") ?? true
        reportsFreePages = reader.boolean("wafer.balloon.freePageReporting") ?? true
        vsock = Self.readVsock(&reader)
        controlSocket = reader.path("wafer.control")
        savedState = reader.path(Self.savedStateKey)
        Self.readUnsupported(&reader)

        for key in reader.unknownKeys where !KnownKeys.isIgnored(key) { reader.warn(key, "is not a key Wafer knows") }
        warnings = reader.warnings.inFileOrder
        guard reader.problems.isEmpty else { throw ConfigurationError(reader.problems.inFileOrder) }
    }

    /// Writes `newIdentity` into the file, so that the machine has the same UUID and addresses next time.
    ///
    /// Call it while holding the machine's lock. The rest of the file stays as it is.
    public func saveIdentity() throws(ConfigurationError) {
        guard !newIdentity.isEmpty else { return }
        var document = try VMXDocument.load(file)
        for identity in newIdentity { try document.set(identity.key, to: identity.value) }
        try document.save(file)
    }

    /// A file next to the machine's, with its name and another ending.
    static func besides(_ path: String, _ ending: String, marked mark: String = "") -> String {
        (path.lowercased().hasSuffix(".vmx") ? String(path.dropLast(4)) : path) + "\(mark).\(ending)"
    }

    private static func defaultName(_ path: String) -> String {
        let name = Files.name(of: path)
        return name.lowercased().hasSuffix(".vmx") && name.utf8.count > 4 ? String(name.dropLast(4)) : name
    }

    private static func readUUIDs(
        _ reader: inout ConfigurationReader, newUUID: MachineUUID, newIdentity: inout [IdentityKey]
    ) -> (bios: MachineUUID, location: MachineUUID) {
        func uuid(_ key: String, _ reader: inout ConfigurationReader) -> MachineUUID? {
            guard let value = reader.text(key) else { return nil }
            let uuid = MachineUUID(value)
            if uuid == nil { reader.fail(key, "\(quoted(value)) is not a UUID of 16 pairs of hexadecimal digits") }
            return uuid
        }
        let isNew = reader.text("uuid.bios") == nil
        let bios = uuid("uuid.bios", &reader) ?? newUUID
        if isNew { newIdentity.append(IdentityKey(key: "uuid.bios", value: bios.description)) }
        let hasLocation = reader.text("uuid.location") != nil
        let location = uuid("uuid.location", &reader) ?? bios
        if !hasLocation { newIdentity.append(IdentityKey(key: "uuid.location", value: location.description)) }
        return (bios, location)
    }

    private static func readMemory(_ reader: inout ConfigurationReader) -> Int {
        // VMware's own default, which no modern guest can live in.
        let standard = 32
        guard reader.text("memsize") != nil else {
            reader.warn("memsize", "is not set; the machine gets \(standard) megabytes")
            return standard
        }
        guard let size = reader.whole("memsize", of: "megabytes", in: 4...(6 << 20)) else { return standard }
        if size % 4 != 0 { reader.fail("memsize", "\"\(size)\" is not a multiple of 4 megabytes") }
        return size
    }

    private static func readProcessors(_ reader: inout ConfigurationReader) -> (count: Int, coresPerSocket: Int) {
        let count = reader.whole("numvcpus", of: "processors", in: 1...64) ?? 1
        let cores = reader.whole("cpuid.coresPerSocket", of: "cores", in: 1...64) ?? 1
        if count % cores != 0 {
            reader.fail("cpuid.coresPerSocket", "\"\(cores)\" does not divide the \(count) processors of numvcpus")
        }
        return (count, cores)
    }

    private static func readProcessorModel(_ reader: inout ConfigurationReader) -> ProcessorModel {
        let key = "wafer.cpuModel"
        guard let name = reader.line(key, limit: 64), name.lowercased() != "host" else { return .host }
        let allowed = name.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"):
                true
            default: false
            }
        }
        if !allowed { reader.fail(key, "\(quoted(name)) is not the name of a processor model") }
        return .named(name)
    }

    private static func readHugePages(_ reader: inout ConfigurationReader) -> HugePages {
        let key = "wafer.hugePages"
        guard let value = reader.text(key) else { return .none }
        switch value.lowercased() {
        case "none", "false": return .none
        case "2m", "true": return .twoMegabytes
        case "1g": return .oneGigabyte
        default:
            reader.fail(key, "\(quoted(value)) is none of \"none\", \"2M\", \"1G\"")
            return .none
        }
    }

    private static func readGuestVariables(_ reader: inout ConfigurationReader) -> [String: String] {
        let prefix = "guestinfo."
        var variables: [String: String] = [:]
        for key in reader.document.keys where key.lowercased().hasPrefix(prefix) {
            variables[String(key.lowercased().dropFirst(prefix.count))] = reader.text(key)
        }
        return variables
    }

    private static func readDirectBoot(_ reader: inout ConfigurationReader) -> DirectBoot? {
        // Linux takes 2048 bytes with the final zero (COMMAND_LINE_SIZE on x86); a kernel may take less and says so itself.
        let commandLine = reader.line("wafer.commandLine", limit: 2047)
        let initrd = reader.path("wafer.initrd")
        guard let kernel = reader.path("wafer.kernel") else {
            for key in ["wafer.initrd", "wafer.commandLine"] where reader.document[key] != nil {
                reader.warn(key, "has no effect without wafer.kernel")
            }
            return nil
        }
        return DirectBoot(kernel: kernel, initrd: initrd, commandLine: commandLine ?? "")
    }

    private static func readVsock(_ reader: inout ConfigurationReader) -> Vsock? {
        // 0 to 2 are the hypervisor, the local machine and the host; the highest number means "any".
        let cid = reader.whole("wafer.vsock.cid", of: "(a context identifier)", in: 3...0xffff_fffe)
        let socket = reader.path("wafer.vsock.socket")
        guard let cid else {
            if socket != nil { reader.warn("wafer.vsock.socket", "has no effect without wafer.vsock.cid") }
            return nil
        }
        return Vsock(cid: UInt32(cid), socket: socket)
    }
}

extension [Diagnostic] {
    /// By line; findings without a line last, in the order they were made.
    fileprivate var inFileOrder: [Diagnostic] {
        // The sort is stable.
        sorted { ($0.line ?? Int.max) < ($1.line ?? Int.max) }
    }
}
