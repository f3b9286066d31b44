/// What the monitor asks of the program at the other end of a TCLO channel: one order at a time, each answered with
/// "OK …" or "ERROR …" before the next (open-vm-tools, `lib/rpcIn/rpcin.c`).
struct OrderQueue: Sendable {
    /// What the guest's main service says in answer to `reset`; others, such as its desktop's helper, have other names.
    private static let toolboxAnswer = "OK ATR toolbox"
    /// How often a service that is asked nothing is asked whether it lives, in nanoseconds.
    private static let pingInterval: UInt64 = 10_000_000_000
    /// How often the main service is asked for the guest's address.
    private static let addressInterval: UInt64 = 60_000_000_000
    /// A service that has not asked for orders for so long does not run: it asks ten times a second.
    private static let silenceMax: UInt64 = 20_000_000_000
    /// More orders than this wait only if the guest does not take them; then the oldest are forgotten.
    private static let waitingMax = 16

    static let halt = "OS_Halt"
    static let reboot = "OS_Reboot"
    static let synchronizeTime = "Time_Synchronize 1"

    /// Whether the guest's main service listens here.
    private(set) var isToolbox = false
    private var waiting = ["reset"]
    /// The order that was taken and not answered yet.
    private var current: String?
    /// Nil before the guest asked for the first time.
    private(set) var lastHeard: UInt64?
    private var lastOrder: UInt64 = 0
    private var lastAddress: UInt64 = 0
    private let synchronizesTime: Bool

    init(synchronizesTime: Bool) { self.synchronizesTime = synchronizesTime }

    func isAlive(at time: UInt64) -> Bool {
        guard isToolbox, let lastHeard else { return false }
        return time &- lastHeard < Self.silenceMax
    }

    mutating func post(_ order: String) {
        guard !waiting.contains(order) else { return }
        if waiting.count >= Self.waitingMax { waiting.removeFirst() }
        waiting.append(order)
    }

    /// The next order; empty if there is none.
    mutating func next(at time: UInt64) -> [UInt8] {
        if waiting.isEmpty, current == nil {
            if isToolbox, time &- lastAddress >= Self.addressInterval {
                lastAddress = time
                waiting.append("Set_Option broadcastIP 1")
            } else if time &- lastOrder >= Self.pingInterval {
                waiting.append("ping")
            }
        }
        lastHeard = time
        guard !waiting.isEmpty else { return [] }
        let order = waiting.removeFirst()
        current = order
        lastOrder = time
        return Array(order.utf8)
    }

    /// The guest's answer to the last order, or an empty message with which it only asks for the next.
    mutating func heard(_ message: [UInt8], at time: UInt64) {
        lastHeard = time
        defer { current = nil }
        guard current == "reset" else { return }
        isToolbox = message.starts(with: Self.toolboxAnswer.utf8) && message.count <= Self.toolboxAnswer.utf8.count + 1
        waiting = ["Capabilities_Register"]
        guard isToolbox else { return }
        if synchronizesTime { waiting.append("Set_Option synctime 1") }
        lastAddress = time
        waiting.append("Set_Option broadcastIP 1")
    }
}
