import DeviceModel
import Linux
import Synchronization

/// A character device whose output goes to a file; nothing comes in.
final class CharacterFile: CharacterBackend {
    private let file: Descriptor

    init(_ path: String) throws(SystemError) {
        file = try Descriptor(opening: path, [.writeOnly, .create, .append])
    }

    func transmit(_ bytes: Span<UInt8>) {
        _ = file.writeAll(bytes)
    }

    func setReceiver(_ receiver: (any CharacterReceiver)?) {}

    func receiverHasRoom() {}
}
