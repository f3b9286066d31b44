"""The image with all its agents and a guest: what a host is for, and that nothing it does to itself reaches the guest."""

import re
import time

import pytest

from Lab import answers, busybox
from Lab import counter as counting
from Lab.images import data
from Lab.session import image_host
from Lab.vm import Console

# Minutes, and `make image` first.
pytestmark = pytest.mark.slow

VMS = f"/vms/{data.LABEL}/vms"
BUSYBOX = "/tmp/busybox"
AGENTS = ["logd", "configd", "netd", "timed", "hostd", "dcui-tty1"]
KILLS = 100


def agents(host) -> dict[str, answers.Agent]:
    return answers.agents(host.read_file("/run/wafer/agents"))


@pytest.fixture(scope="module")
def host():
    with image_host("test-product") as host:
        host.put(busybox.get(), BUSYBOX, 0o755)
        host.wait_for(lambda: all(name in agents(host) and agents(host)[name].state == "running" for name in AGENTS), 60, "all agents")
        yield host


@pytest.fixture(scope="module")
def counter(host):
    """A guest that counts; its console."""
    machine = counting.make(
        host, {
            "wafer.kernel": f"{VMS}/mini/vmlinuz", "wafer.initrd": f"{VMS}/mini/initrd.img",
            "ethernet0.present": "TRUE", "ethernet0.virtualDev": "wafer-virtio", "ethernet0.networkName": "VM Network",
            "ethernet0.addressType": "static", "ethernet0.address": "00:50:56:00:00:22"}, f"{VMS}/counter")
    host.run(["wafer", "host", "scan"]).check()
    host.run(["wafer", "host", "start", "counter"]).check()
    console = Console(host.connect_unix(f"{machine.directory}/console.sock"))
    console.expect(r"COUNT 3 ", 120)
    yield console
    host.run(["wafer", "host", "stop", "counter"]).check()


def test_the_host_gets_its_address_and_has_no_complaint_about_its_network(host):
    def status() -> str:
        return host.run(["wafer", "net", "status"]).check().text
    host.wait_for(lambda: "DHCP bound from 10.0.2.2" in status(), 60, "an address by DHCP")
    said = status()
    assert "problem" not in said
    assert re.search(r'^vmk0 .*"Management Network": 10\.0\.2\.15/24 \(DHCP\)', said, re.M)
    assert re.search(r"^vmnic0 .*: connected, vSwitch0, active$", said, re.M)
    assert host.run(["wafer", "net", "ping", "10.0.2.2"]).check()


def test_the_guest_is_in_its_port_group(host, counter):
    group = re.search(r'^ +"VM Network" VLAN 0: (.*)$', host.run(["wafer", "net", "status"]).check().text, re.M)[1]
    assert re.fullmatch(r"v[0-9a-f]{8}-0", group)


@pytest.mark.parametrize("name", AGENTS)
def test_an_agent_killed_a_hundred_times_is_back_and_the_guest_has_not_noticed(host, counter, name):
    before = len(counter.text)
    slowest = 0.0
    for _ in range(KILLS):
        process = agents(host)[name].process
        killed = time.monotonic()
        host.run([BUSYBOX, "kill", "-9", str(process)]).check()
        host.wait_for(
            lambda: agents(host)[name].state == "running" and agents(host)[name].process not in (0, process), 60, f"the return of {name}")
        slowest = max(slowest, time.monotonic() - killed)
    counter.expect(r"COUNT \d+ ", 30)
    _, said = counting.check(counter.text[before:])
    assert "DISK-FAILED" not in counter.text
    print(f"{name}: {KILLS} kills; {said}; slowest return {slowest:.2f} s")
    assert "running" in host.run(["wafer", "host", "list"]).check().text
