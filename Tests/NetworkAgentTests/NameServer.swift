import Addresses
import CLinux
import Linux
import TestFiles
import TestNetwork

/// Debian's dnsmasq as DHCP and DNS server in a network of its own, at the other end of a cable.
final class NameServer: Sendable {
    static let path = "/usr/sbin/dnsmasq"
    /// Why tests cannot have it here; nil if they can.
    static let unavailable: String? =
        networkUnavailable ?? (fileExists(path) ? nil : "there is no dnsmasq (Debian: dnsmasq-base)")

    static let address = IPv4Address(10, 77, 0, 1)
    let network: OtherNetwork
    private let process: CInt

    /// Makes the cable: `link` in the calling thread's network, its other end at the server.
    ///
    /// - Parameter hosts: lines of a hosts file that the server answers names from.
    init(link: String, directory: String, hosts: String = "") throws {
        let network = try OtherNetwork()
        self.network = network
        var here = try NetworkConfiguration()
        try here.addPair(link, "srv0")
        try here.move("srv0", to: network.raw)
        try here.setUp(link)
        try FileSystem.write(hosts, to: "\(directory)/hosts")
        let started = Started()
        try network.run {
            var there = try NetworkConfiguration()
            try there.setUp("lo")
            try there.setUp("srv0")
            try there.add(Self.address, prefix: 24, to: "srv0")
            started.process = try start(
                Self.path,
                [
                    "--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--interface=srv0", "--no-ping",
                    "--no-resolv", "--no-hosts", "--addn-hosts=\(directory)/hosts", "--pid-file=\(directory)/pid",
                    "--dhcp-leasefile=\(directory)/leases", "--dhcp-authoritative",
                    "--dhcp-range=10.77.0.50,10.77.0.59,255.255.255.0,120", "--dhcp-option=option:router,10.77.0.1",
                    "--dhcp-option=option:dns-server,10.77.0.1", "--dhcp-option=option:domain-search,lab.test,org.test",
                    "--dhcp-option=option:mtu,1400", "--dhcp-option=option:ntp-server,10.77.0.2", "--domain=lab.test",
                    "--local=/lab.test/",
                    "--dhcp-option=option:classless-static-route,0.0.0.0/0,10.77.0.1,192.168.9.0/24,10.77.0.3",
                ])
        }
        process = started.process
        // Written when its sockets are there.
        let limit = monotonicNanoseconds() + 10_000_000_000
        while !fileExists("\(directory)/pid") {
            guard monotonicNanoseconds() < limit else {
                throw SystemError(number: ETIMEDOUT, operation: "start", subject: Self.path)
            }
            _ = try? poll([], milliseconds: 5)
        }
    }

    private final class Started: @unchecked Sendable {
        // Written by one thread that is waited for.
        var process: CInt = -1
    }

    /// Stops answering.
    func stop() {
        kill(process, SIGKILL)
        var status: CInt = 0
        while waitpid(process, &status, 0) < 0, wafer_errno() == EINTR {}
    }
}

/// Runs a loop on this thread until something holds, looked at after each change and every 20 milliseconds.
///
/// - Returns: whether it did within the time.
func run(_ loop: EventLoop, seconds: UInt64 = 20, until holds: @escaping () -> Bool) throws -> Bool {
    let limit = monotonicNanoseconds() + seconds * 1_000_000_000
    var result = false
    let timer = try Timer(on: loop) {
        result = holds()
        if result || monotonicNanoseconds() > limit { loop.stop() }
    }
    timer.set(after: 1, every: 20_000_000)
    loop.run()
    timer.close(on: loop)
    return result
}
