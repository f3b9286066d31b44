import Linux
import Synchronization

/// One report: at most eight bytes.
struct HIDReport: Sendable, BitwiseCopyable {
    var bytes = InlineArray<8, UInt8>(repeating: 0)
    let count: Int
}

/// A USB human interface device with one interface and one interrupt endpoint, number 1 (HID 1.11).
///
/// Reports wait in a short queue. When it is full, the newest one takes the place of the last: they tell states and not
/// changes, so that what a guest reads in the end is right.
public class HIDDevice: USBDevice, @unchecked Sendable {
    // @unchecked: all state is immutable or guarded by a mutex.

    static let queueMax = 16
    static let endpoint: UInt8 = 1
    /// How long a report may wait before the guest counts as not listening.
    private static let patience: UInt64 = 300_000_000

    /// What there is to remember; a snapshot would save it.
    struct State: Sendable, BitwiseCopyable {
        var configuration: UInt8 = 0
        var allowsWakeUp = false
        /// Boot protocol is 0, report protocol 1.
        var reportProtocol: UInt8 = 1
        /// In units of 4 ms; 0 is "only on change".
        var idleRate: UInt8 = 0
        var isHalted = false
        /// The guest has asked the interrupt endpoint since it configured the device.
        var isPolled = false
        var leds: UInt8 = 0
        /// What is true now.
        var present: HIDReport
        var queue: InlineArray<16, HIDReport>
        var first = 0
        var count = 0
        /// When the first report of the queue was put there.
        var waitsSince: UInt64 = 0

        init(_ report: HIDReport) {
            present = report
            queue = InlineArray(repeating: report)
        }

        mutating func unconfigure() {
            let present = present
            self = State(present)
        }
    }

    let state: Mutex<State>
    let descriptors: HIDDescriptors
    let now: @Sendable () -> UInt64
    private let port = Mutex<(any USBPort)?>(nil)

    init(_ descriptors: HIDDescriptors, initial: HIDReport, now: @escaping @Sendable () -> UInt64) {
        self.descriptors = descriptors
        self.now = now
        state = Mutex(State(initial))
    }

    public final var speed: USBSpeed { .high }
    public final func attached(to port: (any USBPort)?) { self.port.withLock { $0 = port } }
    public final func reset() { state.withLock { $0.unconfigure() } }

    /// Whether the guest has configured the device, asks for its reports and fetches them.
    public final var isInUse: Bool {
        state.withLock { state in
            guard state.configuration != 0, state.isPolled else { return false }
            return state.count == 0 || now() &- state.waitsSince < Self.patience
        }
    }

    /// Whether another report fits without replacing one.
    final var hasRoom: Bool { state.withLock { $0.count < Self.queueMax } }

    // MARK: Reports

    /// How a new state joins the queue.
    enum Joining {
        /// As one more report.
        case next
        /// In place of the last report that was not fetched, if there is one.
        case replacing
    }

    /// Changes the present state; the guest hears of it if it has configured the device.
    final func update(_ body: (inout State) -> Joining?) {
        let wakes = state.withLock { state -> Bool? in
            guard let joining = body(&state), state.configuration != 0 else { return nil }
            let replaces = state.count == Self.queueMax || (joining == .replacing && state.count > 0)
            if !replaces {
                if state.count == 0 { state.waitsSince = now() }
                state.count += 1
            }
            state.queue[(state.first + state.count - 1) % Self.queueMax] = state.present
            return state.allowsWakeUp
        }
        guard let wakes else { return }
        port.withLock { $0 }?.hasData(endpoint: Self.endpoint, wakes: wakes)
    }

    public final func interruptIn(_ endpoint: UInt8, _ data: inout USBData) -> USBAnswer {
        guard endpoint == Self.endpoint else { return .stall }
        return state.withLock { state in
            guard state.configuration != 0, !state.isHalted else { return .stall }
            state.isPolled = true
            guard state.count > 0 else { return .notReady }
            append(state.queue[state.first], to: &data)
            state.first = (state.first + 1) % Self.queueMax
            state.count -= 1
            state.waitsSince = now()
            return .done
        }
    }

    private func append(_ report: HIDReport, to data: inout USBData) {
        for index in 0..<report.count { data.append(report.bytes[index]) }
    }

    // MARK: Control requests

    public final func control(_ setup: USBSetup, _ data: inout USBData) -> USBAnswer {
        if setup.request == USBRequest.getDescriptor, setup.requestType & 0xfe == 0x80 {
            guard let descriptor = descriptors.descriptor(setup.value) else { return .stall }
            data.append(descriptor)
            return .done
        }
        return state.withLock { state in
            switch setup.requestType & 0x7f {
            case 0x00: device(setup, &data, &state)
            case 0x01: interface(setup, &data)
            case 0x02: endpoint(setup, &data, &state)
            case 0x21: hid(setup, &data, &state)
            default: .stall
            }
        }
    }

    private func device(_ setup: USBSetup, _ data: inout USBData, _ state: inout State) -> USBAnswer {
        switch (setup.isIn, setup.request) {
        case (true, USBRequest.getStatus):
            data.append([state.allowsWakeUp ? 2 : 0, 0])
        // Remote wake-up is the only feature.
        case (false, USBRequest.clearFeature) where setup.value == 1: state.allowsWakeUp = false
        case (false, USBRequest.setFeature) where setup.value == 1: state.allowsWakeUp = true
        case (true, USBRequest.getConfiguration): data.append(state.configuration)
        case (false, USBRequest.setConfiguration) where setup.value <= 1:
            state.unconfigure()
            state.configuration = UInt8(truncatingIfNeeded: setup.value)
        default: return .stall
        }
        return .done
    }

    private func interface(_ setup: USBSetup, _ data: inout USBData) -> USBAnswer {
        switch (setup.isIn, setup.request) {
        case (true, USBRequest.getStatus): data.append([0, 0])
        case (true, USBRequest.getInterface): data.append(0)
        case (false, USBRequest.setInterface) where setup.value == 0: break
        default: return .stall
        }
        return .done
    }

    private func endpoint(_ setup: USBSetup, _ data: inout USBData, _ state: inout State) -> USBAnswer {
        let isOurs = setup.index & 0xff == 0x81
        guard isOurs || setup.index & 0x7f == 0 else { return .stall }
        switch (setup.isIn, setup.request) {
        case (true, USBRequest.getStatus): data.append([isOurs && state.isHalted ? 1 : 0, 0])
        case (false, USBRequest.clearFeature) where setup.value == 0: if isOurs { state.isHalted = false }
        case (false, USBRequest.setFeature) where setup.value == 0: if isOurs { state.isHalted = true }
        default: return .stall
        }
        return .done
    }

    private func hid(_ setup: USBSetup, _ data: inout USBData, _ state: inout State) -> USBAnswer {
        switch (setup.isIn, setup.request) {
        // Types of reports: 1 input, 2 output.
        case (true, USBRequest.getReport) where setup.value >> 8 == 1: append(state.present, to: &data)
        case (false, USBRequest.setReport) where setup.value >> 8 == 2: state.leds = data[0] & 0x1f
        case (true, USBRequest.getIdle): data.append(state.idleRate)
        case (false, USBRequest.setIdle): state.idleRate = UInt8(truncatingIfNeeded: setup.value >> 8)
        case (true, USBRequest.getProtocol): data.append(state.reportProtocol)
        case (false, USBRequest.setProtocol) where setup.value <= 1:
            state.reportProtocol = UInt8(truncatingIfNeeded: setup.value)
        default: return .stall
        }
        return .done
    }
}
