import HostLink
import Linux

/// Where the host agent finds things; other places for tests.
struct HostEnvironment: Sendable {
    /// The agent's socket.
    var socket = ServiceAddress.host
    /// What must outlive the agent, but not a restart of the host.
    var stateDirectory = "\(ServiceAddress.directory)/hostd"
    /// Where disks are mounted: `.vmx` files are looked for below.
    var diskRoots = ["/vms", "/vmfs/volumes"]
    /// The cgroup (version 2) under which each machine has its own; nil for none.
    var controlGroup: String? = "/sys/fs/cgroup/wafer/vm"
    /// The program that runs a machine, and its arguments before the `.vmx` file; the first is the path.
    var monitor = ["/proc/self/exe", "vmx"]
    /// How often machines that are off are looked at, in nanoseconds: somebody else may have started one.
    var probeEvery: UInt64 = 3_000_000_000
    /// How long a machine may take to run after its start, in nanoseconds.
    var startLimit: UInt64 = 60_000_000_000
    /// How long a machine's process may take to end after power off, in nanoseconds, before it is killed.
    var endLimit: UInt64 = 10_000_000_000
    /// How long automatic starts wait for the network agent, in nanoseconds.
    var networkLimit: UInt64 = 30_000_000_000
    /// Whether networks are there that machines can be connected to.
    var isNetworkReady: @Sendable () -> Bool = {
        UnixSocket.isAnswered(ServiceAddress.network) || fileExists("/sys/class/net/vmbr0")
    }
}
