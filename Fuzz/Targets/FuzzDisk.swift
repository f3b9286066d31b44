import BlockTestSupport
import DeviceModel
import Linux

/// A small disk in memory whose behaviour the input chooses.
final class FuzzDisk {
    let backend = MemoryBlockBackend(capacity: 16 << 10)
    private var mode: UInt8 = 0

    init() {
        backend.verdict = { [unowned self] request in
            Self.checkRequest(request)
            switch mode {
            case 1: return .hold
            case 2: return .stall
            case 3: return .end(.failed)
            case 4: return .end(.noSpace)
            case 5: return .end(.unsupported)
            default: return .carryOut
            }
        }
    }

    private static func checkRequest(_ request: BlockRequest) {
        guard request.operation == .read || request.operation == .write else {
            check(request.segmentCount == 0, "only transfers have memory")
            return
        }
        var total: UInt64 = 0
        for index in 0..<request.segmentCount {
            guard let segment = request.segments?[index] else { return check(false, "segments are there") }
            check(segment.base != nil && segment.count > 0, "segments have bytes")
            total += UInt64(segment.count)
        }
        check(total == request.count, "a request is as long as its memory")
    }

    /// Something happens in the storage.
    func event(_ byte: UInt8) {
        switch byte >> 4 {
        case 0: mode = byte & 7
        case 1: for queue in backend.queues where !queue.isClosed { queue.releaseHeld(reversed: byte & 1 != 0) }
        case 2: for queue in backend.queues where !queue.isClosed && !queue.isSuspended { queue.releaseStalled() }
        default: backend.resize(to: Int(byte & 31) << 9)
        }
    }
}
