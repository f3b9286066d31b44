import Linux

/// Firmware for guests, as Debian packages it: machines' own, and what cards bring along.
enum FirmwareFiles {
    /// Where files may be: in the system image, and where Debian's packages seabios, ovmf and ipxe-qemu put them.
    private static let directories = [
        "/usr/share/wafer/firmware", "/usr/share/seabios", "/usr/share/OVMF", "/usr/lib/ipxe/qemu",
    ]

    static func bytes(of name: String, _ log: MachineLog) throws -> [UInt8] {
        guard let path = path(of: name) else {
            throw StartFailure(.unavailable, "there is no firmware \(name) in \(directories.joined(separator: ", "))")
        }
        log.info("Firmware \(path)")
        return try readFile(path, limit: 16 << 20)
    }

    /// Nil if it is not there.
    static func path(of name: String) -> String? { directories.map { "\($0)/\(name)" }.first(where: fileExists) }
}
