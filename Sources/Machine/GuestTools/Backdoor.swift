public import Linux
import Synchronization

/// VMware's backdoor: an I/O port by which software in the guest asks the monitor things, and through which VMware Tools
/// talk to it (open-vm-tools, `lib/include/backdoor_def.h`).
///
/// A guest reads the port with a magic number in EAX, a command in ECX and its argument in EBX; the answer comes in all of
/// these registers. An unknown command leaves all ones in EAX. The port with which long messages go at once (5659h) is not
/// there, which guests find out and then do without.
///
/// Called on vCPU threads, several at once.
public final class Backdoor: Sendable {
    public static let port: UInt16 = 0x5658
    /// "VMXh": what a guest has in EAX when it means the backdoor.
    public static let magic: UInt32 = 0x564d_5868

    /// What a guest can ask about its machine.
    public struct MachineFacts: Sendable {
        /// 16 bytes.
        public var uuid: [UInt8]
        public var memoryMegabytes: Int
        /// Of the time-stamp counter, in Hz; 0 if it is not known.
        public var timeStampFrequency: UInt64
        /// Seconds that the guest's clock is ahead of UTC.
        public var clockOffset: Int64
        /// What its file says of `guestinfo.…`, by names without that.
        public var variables: [String: String] = [:]
        /// `tools.syncTime`: tools set the guest's clock by the host's all the time.
        public var synchronizesTime = false

        public init(uuid: [UInt8], memoryMegabytes: Int, timeStampFrequency: UInt64, clockOffset: Int64 = 0) {
            self.uuid = uuid
            self.memoryMegabytes = memoryMegabytes
            self.timeStampFrequency = timeStampFrequency
            self.clockOffset = clockOffset
        }
    }

    private enum Command {
        static let getVersion: UInt16 = 0x0a
        static let getHardwareVersion: UInt16 = 0x11
        static let getUUID: UInt16 = 0x13
        static let getMemorySize: UInt16 = 0x14
        static let getTime: UInt16 = 0x17
        static let message: UInt16 = 0x1e
        static let getFrequencies: UInt16 = 0x2d
        static let getTimeFull: UInt16 = 0x2e
        static let getTimeFullWithLag: UInt16 = 0x37
        static let getProcessorInformation: UInt16 = 0x44
    }

    /// The backdoor's version that tools expect.
    private static let version: UInt32 = 6
    /// ESX, as a kind of product.
    private static let product: UInt32 = 2
    /// VMware's generation of virtual hardware: that of ESXi 8.
    private static let hardwareVersion: UInt32 = 20
    /// The LAPIC's clock under KVM, in Hz.
    private static let busFrequency: UInt32 = 1_000_000_000
    /// How far tools let the guest's clock be behind before they step it, in microseconds: VMware's figure.
    private static let lagMax: UInt32 = 1_000_000

    private struct State: Sendable {
        var channels: MessageChannels
        var endpoint: ToolsEndpoint
    }

    private let facts: MachineFacts
    private let now: @Sendable () -> (seconds: Int64, nanoseconds: Int64)
    private let uptime: @Sendable () -> UInt64
    private let log: @Sendable (String) -> Void
    private let state: Mutex<State>

    /// - Parameters:
    ///   - log: takes what tools want in the machine's log: one line of printable characters.
    ///   - now: the host's time, UTC.
    ///   - uptime: a clock that nobody sets, in nanoseconds.
    public init(
        _ facts: MachineFacts, log: @escaping @Sendable (String) -> Void = { _ in },
        now: @escaping @Sendable () -> (seconds: Int64, nanoseconds: Int64) = { wallClock() },
        uptime: @escaping @Sendable () -> UInt64 = { monotonicNanoseconds() }
    ) {
        self.facts = facts
        self.log = log
        self.now = now
        self.uptime = uptime
        state = Mutex(
            State(
                channels: MessageChannels(synchronizesTime: facts.synchronizesTime),
                endpoint: ToolsEndpoint(variables: facts.variables)))
    }

    // MARK: For the machine

    /// Forgets channels and what the guest said: it starts anew.
    public func reset() {
        state.withLock { state in
            state.channels = MessageChannels(synchronizesTime: facts.synchronizesTime)
            state.endpoint.reset()
        }
    }

    /// What the guest said about itself.
    public var report: ToolsReport {
        let time = uptime()
        return state.withLock { state in
            var report = state.endpoint.report
            report.heartbeatAge = state.channels.heartbeat(at: time).map { (time &- $0) / 1_000_000 }
            return report
        }
    }

    /// What tools in the guest can be asked for.
    public enum Order: Sendable {
        case halt, reboot, synchronizeTime
    }

    /// Asks the guest's tools for something. They do it when they have heard it.
    ///
    /// - Returns: false if they do not run.
    public func ask(_ order: Order) -> Bool {
        let text =
            switch order {
            case .halt: OrderQueue.halt
            case .reboot: OrderQueue.reboot
            case .synchronizeTime: OrderQueue.synchronizeTime
            }
        let time = uptime()
        return state.withLock { $0.channels.post(text, at: time) }
    }

    // MARK: For the guest

    /// Carries out what the registers say and puts the answer in them. A read without the magic number finds no port.
    public func serve(_ registers: inout BackdoorRegisters) {
        guard registers.eax == Self.magic else {
            registers.eax = .max
            return
        }
        switch registers.ecx.lowHalf {
        case Command.getVersion:
            registers.eax = Self.version
            registers.ebx = Self.magic
            registers.ecx = Self.product
        case Command.getHardwareVersion: registers.eax = Self.hardwareVersion
        case Command.getUUID:
            registers.eax = word(of: facts.uuid, at: 0)
            registers.ebx = word(of: facts.uuid, at: 4)
            registers.ecx = word(of: facts.uuid, at: 8)
            registers.edx = word(of: facts.uuid, at: 12)
        case Command.getMemorySize: registers.eax = UInt32(clamping: facts.memoryMegabytes)
        // No bit is set: neither of the two that it could have (an APIC in x2APIC mode, reserved) holds here.
        case Command.getProcessorInformation: registers.eax = 0
        case Command.getTime: tellTime(&registers)
        case Command.getTimeFull: tellFullTime(&registers)
        case Command.getTimeFullWithLag:
            tellFullTime(&registers)
            // How far the interrupts of the guest's timer are behind, which KVM makes up for itself.
            registers.edi = 0
        case Command.getFrequencies where facts.timeStampFrequency != 0:
            registers.eax = UInt32(truncatingIfNeeded: facts.timeStampFrequency)
            registers.ebx = UInt32(truncatingIfNeeded: facts.timeStampFrequency >> 32)
            registers.ecx = Self.busFrequency
        case Command.message:
            let time = uptime()
            let logged = state.withLock { state -> String? in
                state.channels.serve(&registers, &state.endpoint, at: time)
                return state.endpoint.logged.take()
            }
            if let logged { log(logged) }
        default: registers.eax = .max
        }
    }

    /// Four bytes, the first the lowest.
    private func word(of bytes: [UInt8], at index: Int) -> UInt32 {
        var word: UInt32 = 0
        for place in 0..<4 where index + place < bytes.count { word |= UInt32(bytes[index + place]) << (8 * place) }
        return word
    }

    private func tellTime(_ registers: inout BackdoorRegisters) {
        let time = now()
        registers.eax = UInt32(truncatingIfNeeded: time.seconds)
        registers.ebx = UInt32(truncatingIfNeeded: time.nanoseconds / 1000)
        registers.ecx = Self.lagMax
        // Minutes that the guest's clock is behind UTC.
        registers.edx = UInt32(truncatingIfNeeded: -(facts.clockOffset / 60))
    }

    /// The seconds in ESI and EDX; EAX stays, as the sign of success.
    private func tellFullTime(_ registers: inout BackdoorRegisters) {
        let time = now()
        registers.ebx = UInt32(truncatingIfNeeded: time.nanoseconds / 1000)
        registers.esi = UInt32(truncatingIfNeeded: time.seconds >> 32)
        registers.edx = UInt32(truncatingIfNeeded: time.seconds)
        registers.ecx = Self.lagMax
    }
}
