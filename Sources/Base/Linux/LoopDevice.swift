import CLinux

/// A file as a block device (Linux: include/uapi/linux/loop.h; loop(4)), read-only.
///
/// The device lets the file go when its last user is gone: mount it before this goes.
public struct LoopDevice: ~Copyable {
    /// Such as `/dev/loop0`.
    public let path: String
    private let device: Descriptor

    /// Makes a free loop device show a file.
    ///
    /// - Throws: `ENOENT` if the driver is not loaded.
    public init(showing file: String) throws(SystemError) {
        let control = try Descriptor(opening: "/dev/loop-control", .readWrite)
        let source = try Descriptor(opening: file, .readOnly)
        while true {
            let number = try control.control(UInt(LOOP_CTL_GET_FREE), 0, "find a free loop device")
            let candidate = "/dev/loop\(number)"
            let device = try Descriptor(opening: candidate, .readOnly)
            var configuration = loop_config()
            configuration.fd = UInt32(bitPattern: source.raw)
            configuration.info.lo_flags = UInt32(LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR)
            do {
                try device.control(UInt(LOOP_CONFIGURE), &configuration, "set up loop device")
                path = candidate
                self.device = device
                return
            } catch {
                // Somebody else took it in between.
                if !error.isBusy { throw error }
            }
        }
    }
}
