import BootMedium

/// A manifest, an update's beginning, or a boot loader's environment from a stranger; the first byte says which.
func fuzzBootMedium(_ bytes: [UInt8]) {
    guard let kind = bytes.first else { return }
    let rest = Array(bytes.dropFirst())
    switch kind {
    case UInt8(ascii: "m"):
        guard let manifest = try? Manifest(parsing: rest) else { return }
        check(Array(manifest.text.utf8) == rest, "a manifest has one text")
    case UInt8(ascii: "u"):
        guard let bundle = try? UpdateBundle(parsing: rest) else { return }
        check(rest.starts(with: bundle.bytes), "a bundle's beginning is what it was read from")
        let length = try? UpdateBundle.lengthAfterHeader(Array(rest.prefix(UpdateBundle.headerSize)))
        check(length.map { $0 + UpdateBundle.headerSize } == bundle.bytes.count, "the header says how long it is")
    case UInt8(ascii: "e"):
        guard var environment = try? BootEnvironment(parsing: rest) else { return }
        guard let written = try? environment.bytes() else { return }
        check((try? BootEnvironment(parsing: written)) == environment, "what was written reads the same")
        environment["bank"] = "B"
        guard let changed = try? environment.bytes() else { return }
        check((try? BootEnvironment(parsing: changed))?["bank"] == "B", "what was set is there")
    default: break
    }
}
