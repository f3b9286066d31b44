"""The image with all its agents and a guest: what a host is for, and that nothing it does to itself reaches the guest."""

import base64
import re
import time

import pytest

from Lab import busybox
from Lab.images import data
from Lab.session import image_host
from Lab.vm import Console, VirtualMachine

# Minutes, and `make image` first.
pytestmark = pytest.mark.slow

VMS = f"/vms/{data.LABEL}/vms"
BUSYBOX = "/tmp/busybox"
AGENTS = ["logd", "configd", "netd", "timed", "hostd", "dcui-tty1"]
KILLS = 100
# Counts, twice a second by its own clock, and writes to its disk each time, past the page cache.
COUNTER = (
    "i=0; while :; do read -r up _ </proc/uptime; "
    "dd if=/dev/urandom of=/dev/vda bs=4096 count=1 seek=$((i % 2000)) oflag=direct conv=notrunc 2>/tmp/dd || echo DISK-FAILED; "
    "echo COUNT $i $up; i=$((i + 1)); sleep 0.5; done")


def agents(host) -> dict[str, tuple[int, str]]:
    """Process and state of each agent, as PID 1 keeps them."""
    lines = [line.split("\t") for line in host.read_file("/run/wafer/agents").splitlines()]
    return {name: (int(process), state) for name, process, state, _ in lines}


@pytest.fixture(scope="module")
def host():
    with image_host("test-product") as host:
        host.put(busybox.get(), BUSYBOX, 0o755)
        host.wait_for(lambda: all(agents(host).get(name, (0, ""))[1] == "running" for name in AGENTS), 60, "all agents")
        yield host


@pytest.fixture(scope="module")
def counter(host):
    """A guest that counts; its console."""
    machine = VirtualMachine.make(
        host, "counter", {
            "wafer.kernel": f"{VMS}/mini/vmlinuz", "wafer.initrd": f"{VMS}/mini/initrd.img",
            "scsi0.present": "TRUE", "scsi0.virtualDev": "wafer-virtio", "scsi0:0.present": "TRUE",
            "scsi0:0.fileName": "data.img", "ethernet0.present": "TRUE", "ethernet0.virtualDev": "wafer-virtio",
            "ethernet0.networkName": "VM Network", "ethernet0.addressType": "static", "ethernet0.address": "00:50:56:00:00:22"},
        command_line=f"wafer.sh={base64.b64encode(COUNTER.encode()).decode()}", directory=f"{VMS}/counter")
    host.put(bytes(8 << 20), f"{machine.directory}/data.img")
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
        process = agents(host)[name][0]
        killed = time.monotonic()
        host.run([BUSYBOX, "kill", "-9", str(process)]).check()
        host.wait_for(
            lambda: agents(host)[name][1] == "running" and agents(host)[name][0] not in (0, process), 60, f"the return of {name}")
        slowest = max(slowest, time.monotonic() - killed)
    counter.expect(r"COUNT \d+ ", 30)
    ticks = [(int(number), float(uptime)) for number, uptime in re.findall(r"COUNT (\d+) ([\d.]+)\r?\n", counter.text[before:])]
    assert "DISK-FAILED" not in counter.text
    assert [number for number, _ in ticks] == list(range(ticks[0][0], ticks[0][0] + len(ticks))), "the guest counted on"
    gaps = [after - before for (_, before), (_, after) in zip(ticks, ticks[1:])]
    print(f"{name}: {KILLS} kills; {len(ticks)} counts; longest gap {max(gaps):.2f} s; slowest return {slowest:.2f} s")
    assert max(gaps) <= 2
    assert "running" in host.run(["wafer", "host", "list"]).check().text
