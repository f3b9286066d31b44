extension MachineConfiguration {
    /// Reads every present serial port.
    static func readSerialPorts(_ reader: inout ConfigurationReader) -> [SerialPort] {
        var ports: [SerialPort] = []
        for number in 0..<4 where reader.devices.contains("serial\(number)") {
            let name = "serial\(number)"
            guard reader.boolean("\(name).present") == true, let backend = readBackend(name, &reader) else {
                reader.knowAll(of: name)
                continue
            }
            ports.append(
                SerialPort(
                    number: number, backend: backend, startConnected: reader.boolean("\(name).startConnected") ?? true,
                    tryNoRxLoss: reader.boolean("\(name).tryNoRxLoss") ?? false))
        }
        return ports
    }

    /// Reads the back end of the virtio console, which has the keys of a serial port.
    static func readConsole(_ reader: inout ConfigurationReader) -> CharacterBackend? {
        guard reader.boolean("wafer.console.present") == true else {
            reader.knowAll(of: "wafer.console")
            return nil
        }
        return readBackend("wafer.console", &reader)
    }

    /// What the port is connected to; nil if that was reported as wrong or left out.
    private static func readBackend(_ name: String, _ reader: inout ConfigurationReader) -> CharacterBackend? {
        let key = "\(name).fileName"
        reader.know(key)
        let pipeEnd = reader.choice("\(name).pipe.endPoint", EndPoint.self) ?? .server
        let networkEnd = reader.choice("\(name).network.endPoint", EndPoint.self) ?? .server
        guard let type = reader.text("\(name).fileType")?.lowercased() else {
            reader.fail("\(name).fileType", "is missing")
            return nil
        }
        switch type {
        case "file", "pipe", "device":
            guard let path = reader.path(key) else {
                reader.fail(key, "is missing")
                return nil
            }
            switch type {
            case "file": return .file(path: path)
            case "device": return .device(path: path)
            default:
                // Room in a Unix socket's address (sun_path) is 108 bytes with the final zero.
                if path.utf8.count > 107 { reader.fail(key, "the path \(quoted(path)) is too long for a socket") }
                return .pipe(path: path, endPoint: pipeEnd)
            }
        case "network":
            guard let uri = reader.line(key, limit: 255) else {
                reader.fail(key, "is missing")
                return nil
            }
            guard uri.hasPrefix("tcp://") || uri.hasPrefix("telnet://") else {
                reader.fail(key, "\(quoted(uri)) begins with neither tcp:// nor telnet://")
                return nil
            }
            return .network(uri: uri, endPoint: networkEnd)
        case "thinprint":
            reader.warn("\(name).fileType", "\"thinprint\" is not supported; the port is left out")
            return nil
        default:
            reader.fail("\(name).fileType", "\(quoted(type)) is none of \"file\", \"pipe\", \"device\", \"network\"")
            return nil
        }
    }

    /// Says which present devices Wafer does not have yet.
    static func readUnsupported(_ reader: inout ConfigurationReader) {
        for device in reader.devices.sorted() {
            let kind = String(device.prefix { $0.isASCII && !$0.isNumber })
            let what: String
            switch kind {
            case "floppy": what = "floppy drives are"
            case "parallel": what = "parallel ports are"
            case "sound": what = "sound is"
            case "pcipassthru":
                if reader.boolean("\(device).present") == true {
                    reader.fail("\(device).present", "passing a host device to a guest is not supported yet")
                }
                reader.knowAll(of: device)
                continue
            default: continue
            }
            if reader.boolean("\(device).present") == true {
                reader.warn("\(device).present", "\(what) not supported yet; the device is left out")
            }
            reader.knowAll(of: device)
        }
        if reader.boolean("uefi.secureBoot.enabled") == true {
            reader.fail("uefi.secureBoot.enabled", "Secure Boot is not supported yet")
        }
    }
}
