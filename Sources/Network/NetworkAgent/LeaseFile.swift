import Addresses
import DHCP
import Linux

/// A port's DHCP lease, kept so that a restarted agent goes on with it: in memory only, for the host's next start may be in another
/// network, and its clock begins anew.
///
/// Eight bytes, the monotonic clock's nanoseconds when the lease began, most significant first; six of the port's MAC address; then
/// the server's acknowledgement.
struct LeaseFile {
    let path: String

    init(directory: String, vmknic: String) { path = "\(directory)/\(vmknic).lease" }

    /// The lease, unless it is another port's.
    func load(_ macAddress: MACAddress) -> DHCPClient.Held? {
        guard let bytes = try? readFile(path, limit: 4096), bytes.count > 14, MACAddress(bytes[8..<14]) == macAddress
        else { return nil }
        let start = bytes.prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        guard start <= monotonicNanoseconds() else { return nil }
        return DHCPClient.Held(message: Array(bytes.dropFirst(14)), start: start)
    }

    func save(_ held: DHCPClient.Held?, _ macAddress: MACAddress) {
        guard let held else { return removeFile(path) }
        let start = (0..<8).map { UInt8(truncatingIfNeeded: held.start >> (56 - 8 * $0)) }
        let scratch = path + ".new"
        guard let file = try? Descriptor(opening: scratch, [.writeOnly, .create, .truncate], permissions: 0o600),
            file.writeAll(start + macAddress.bytes + held.message)
        else { return }
        try? renameFile(scratch, path)
    }
}
