"""The network agent on a host: an address by DHCP, and no outage when it is killed."""

import re
import signal

import pytest

from Lab.host import Host
from Lab.qemu import Machine

# PID 1 waits ever longer before it starts an agent again that keeps ending.
KILLS = 4


@pytest.fixture(scope="module")
def host():
    with Host("test-network", Machine(cpus=2, memory_mib=768), append=["wafer.net=dhcp"]) as host:
        yield host


def status(host) -> str:
    return host.run(["wafer", "net", "status"]).text


def agent(host) -> int | None:
    found = [one.pid for one in host.processes() if one.command.split()[-2:] == ["wafer", "netd"]]
    return found[0] if found else None


def test_vmk0_has_an_address_by_dhcp_and_reaches_the_gateway(host):
    host.wait_for(lambda: "10.0.2.15/24 (DHCP), DHCP bound from 10.0.2.2" in status(host), 60, "a lease")
    text = status(host)
    assert re.search(r"^gateway +10\.0\.2\.2$", text, re.MULTILINE)
    assert re.search(r"^DNS +10\.0\.2\.3 \(by DHCP\)$", text, re.MULTILINE)
    assert "problem" not in text
    assert re.search(r"^vmnic0 .*0000:00:\S+ virtio_net: connected, vSwitch0, active$", text, re.MULTILINE)
    result = host.run(["wafer", "net", "ping", "10.0.2.2"])
    assert result.status == 0 and result.text.startswith("3 of 3")


def test_vmk0_has_the_adapters_address_and_the_adapter_another_one(host):
    first, second = (host.read_file(f"/sys/class/net/{name}/address").strip() for name in ("vmk0", "vmnic0"))
    assert first in status(host).splitlines()[1]
    assert first != second


def test_a_killed_agent_comes_back_and_nothing_was_touched_meanwhile(host, tools):
    def links() -> str:
        lines = host.run([*tools, "ip", "address"]).text
        return re.sub(r"(valid|preferred)_lft \S+", "", lines)

    before = links()
    # A reply is missing if the address, the way or the switch is away for a moment.
    pings = host.popen([*tools, "ping", "-i", "0.2", "10.0.2.2"])
    for _ in range(KILLS):
        old = host.wait_for(lambda: agent(host), 60, "the agent")
        host.run([*tools, "kill", "-9", str(old)])
        host.wait_for(lambda: agent(host) not in (None, old), 60, "a new agent")
        host.wait_for(lambda: "DHCP bound" in status(host), 60, "the lease again")
    assert links() == before
    pings.signal(signal.SIGINT)
    output = pings.communicate(None, 60).text
    sent, received = re.search(r"(\d+) packets transmitted, (\d+) packets received", output).groups()
    # The last request may have been under way.
    assert int(sent) > KILLS and int(received) >= int(sent) - 1, output


def test_without_a_cable_it_says_so_and_with_it_goes_on(host):
    def cable(on: bool) -> None:
        monitor = host.monitor()
        monitor.command("set_link", name="net0", up=on)
        monitor.close()

    cable(False)
    host.wait_for(lambda: "disconnected" in status(host), 30, "no link")
    assert "10.0.2.15/24" in status(host)
    cable(True)
    host.wait_for(lambda: "virtio_net: connected" in status(host) and "DHCP bound" in status(host), 60, "the link")
