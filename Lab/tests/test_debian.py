"""An unmodified Debian guest on our hypervisor: booted once, then used as its administrator would."""

import json
import re

import pytest

from Lab.debian_guest import boot, complaints, guest, set_keys
from Lab.host import Host
from Lab.session import bench_flavour, machine
from Lab.vm import DEBIAN, VMS, VirtualMachine

pytestmark = pytest.mark.slow

# The host's and QEMU's addresses on the guest's network.
HOST, PEER = "10.0.2.100", "10.0.2.2"
# The guest's second card.
SIDE = "10.0.2.77"


@pytest.fixture(scope="module")
def server():
    with Host("debian", machine(), bench_flavour()) as host:
        yield host


@pytest.fixture
def debian(server, request):
    """The guest, running and logged in; a test that fails shows its console and log."""
    vm = getattr(server, "debian", None)
    if vm is None or not vm.is_running:
        vm = server.debian = boot(server)
    yield vm


def test_it_runs_and_says_so(debian):
    status = debian.status()
    assert status.state == "running"
    assert {"scsi0:0", "ethernet0", "serial0"} <= set(status.devices)
    assert "GNU/Linux" in guest(debian, "uname -a")
    assert "Wafer Virtual Machine" in guest(debian, "cat /sys/class/dmi/id/product_name")
    assert debian.statistics()["scsi0:0.readBytes"] > 1 << 20


def test_it_reaches_the_host_and_a_peer(debian):
    guest(debian, f"ping -c 2 -w 20 {HOST}")
    guest(debian, f"ping -c 2 -w 20 {PEER}")


def test_a_second_process_for_the_same_vm_is_refused_with_the_holder(debian):
    result = debian.launch()
    assert result.status == 75
    assert f'VM "debian12" (pid {debian.process.pid}' in result.errors.decode()


def test_another_vm_cannot_have_the_same_disk(debian, server):
    other = VirtualMachine.make(server, "thief", {
        "scsi0.present": "TRUE", "scsi0.virtualDev": "wafer-virtio", "scsi0:0.present": "TRUE",
        "scsi0:0.fileName": f"{DEBIAN}/debian12.vmdk"})
    result = other.launch()
    assert result.status == 75
    assert 'VM "debian12"' in result.errors.decode()


def test_paused_it_stands_still_and_then_goes_on(debian):
    debian.order("pause")
    exits = debian.statistics()["vcpu0.exits"]
    assert debian.status().state == "paused"
    assert debian.statistics()["vcpu0.exits"] == exits
    debian.order("resume")
    guest(debian, "true")


def test_a_disk_comes_and_goes_while_it_runs(debian, server):
    server.put(bytes(8 << 20), f"{VMS}/hot.img")
    debian.order("attach", f"scsi0:1.fileName={VMS}/hot.img")
    guest(debian, "for i in $(seq 100); do test -b /dev/vdb && break; sleep 0.2; done; test -b /dev/vdb")
    guest(debian, "mkfs.ext4 -q /dev/vdb && mount /dev/vdb /mnt && cp /bin/bash /mnt && sync && cmp /bin/bash /mnt/bash")
    refused = debian.control("attach", f"scsi0:2.fileName={VMS}/hot.img")
    assert refused.status == 1 and 'VM "debian12"' in refused.errors.decode()
    guest(debian, "umount /mnt")
    debian.order("detach", "scsi0:1")
    server.wait_for(lambda: "scsi0:1" not in debian.status().devices, 60, "the guest letting go of the disk")
    guest(debian, "test ! -e /dev/vdb")
    unknown = debian.control("detach", "scsi0:9")
    assert unknown.status == 1 and "there is no device scsi0:9" in unknown.errors.decode()


def attach_card(vm: VirtualMachine, *settings: str) -> None:
    vm.order(
        "attach", "ethernet1.addressType=static", "ethernet1.address=00:50:56:00:00:77", "ethernet1.networkName=VM Network",
        *(f"ethernet1.{setting}" for setting in settings))
    found = "grep -l 00:50:56:00:00:77 /sys/class/net/*/address"
    guest(vm, f"for i in $(seq 100); do {found} && break; sleep 0.2; done; {found}")


def detach(vm: VirtualMachine, device: str) -> None:
    vm.order("detach", device)
    vm.host.wait_for(lambda: device not in vm.status().devices, 60, f"the guest letting go of {device}")


def test_a_network_card_comes_and_goes_while_it_runs(debian, server):
    interfaces = set(server.entries("/sys/class/net"))
    attach_card(debian)
    assert len(set(server.entries("/sys/class/net")) - interfaces) == 1
    detach(debian, "ethernet1")
    guest(debian, "! grep -l 00:50:56:00:00:77 /sys/class/net/*/address")
    assert set(server.entries("/sys/class/net")) == interfaces


def test_what_has_gone_leaves_nothing_behind(debian, server):
    server.put(bytes(1 << 20), f"{VMS}/again.img")
    descriptors = server.descriptors(debian.process.pid)
    for _ in range(3):
        attach_card(debian)
        debian.order("attach", f"scsi0:1.fileName={VMS}/again.img")
        guest(debian, "for i in $(seq 100); do test -b /dev/vdb && break; sleep 0.2; done; test -b /dev/vdb")
        detach(debian, "ethernet1")
        detach(debian, "scsi0:1")
        assert server.descriptors(debian.process.pid) == descriptors


def iperf(server: Host, address: str, *options: str) -> list[dict]:
    """Runs iperf3 on the host against the guest's; gives what the sender and the receiver counted, for each direction."""
    result = server.run(["iperf3", "-c", address, "-t", "5", "-J", *options], root="/bench", timeout=120)
    report = json.loads(result.text)
    assert result.status == 0 and "error" not in report, report.get("error")
    end = report["end"]
    return [
        {"sent": end[f"sum_sent{suffix}"], "received": end[f"sum_received{suffix}"]}
        for suffix in ("", "_bidir_reverse") if f"sum_sent{suffix}" in end]


@pytest.mark.parametrize("vhost", ["TRUE", "FALSE"], ids=["vhost-net", "user-space"])
def test_data_flows_both_ways(debian, server, vhost):
    """A second card, in a network of its own in the guest, so that the packets must take it."""
    attach_card(debian, f"wafer.vhost={vhost}")
    guest(
        debian, f"ip netns add side && ip link set eth1 netns side && ip -n side address add {SIDE}/24 dev eth1 && "
        "ip -n side link set eth1 up && ip netns exec side iperf3 -s -D")
    try:
        for options in ((), ("-R",), ("--bidir",)):
            flows = iperf(server, SIDE, *options)
            assert len(flows) == (2 if options == ("--bidir",) else 1)
            for flow in flows:
                sent, received = flow["sent"], flow["received"]
                print(f"vhost {vhost} {options}: {sent['bytes'] >> 20} MiB sent, {sent['retransmits']} segments again")
                assert received["bytes"] > 1 << 20
                # A few are lost to full queues while TCP finds the pace.
                assert sent["retransmits"] * 1448 < sent["bytes"] / 100
        counters = guest(debian, "ip netns exec side sh -c 'cd /sys/class/net/eth1/statistics; cat rx_errors tx_errors'")
        assert counters.split() == ["0", "0"]
        assert complaints(debian) == ""
    finally:
        guest(debian, "pkill iperf3; ip netns delete side || true")
        detach(debian, "ethernet1")


def test_random_writes_read_back_as_written(debian):
    guest(
        debian, "fio --name=verify --directory=/root --rw=randwrite --bs=4k --size=16m --ioengine=libaio --iodepth=16 "
        "--direct=1 --fsync=32 --verify=crc32c --do_verify=1 --verify_fatal=1 --minimal > /tmp/fio.log 2>&1", 300)


def test_what_was_synced_survives_a_hard_stop(debian, server):
    debian.console.type(
        "n=0; while true; do n=$((n+1)); echo line-$n >> /root/journal; sync /root/journal; echo SYNCED-$n; done\n")
    for number in (1, 20, 40):
        debian.console.expect(rf"SYNCED-{number}\r?\n", 120)
    debian.order("off")
    assert debian.wait_end() == 0
    synced = max(int(number) for number in re.findall(r"SYNCED-(\d+)\r?\n", debian.console.text))

    vm = server.debian = boot(server)
    lines = guest(vm, "cat /root/journal | tr -d '\\0'").split()
    assert lines[:synced] == [f"line-{number}" for number in range(1, synced + 1)]
    assert "clean" in guest(vm, "dumpe2fs -h /dev/vda1 2>/dev/null | grep 'Filesystem state'")
    assert complaints(vm) == ""


def test_the_power_button_shuts_it_down(debian):
    debian.order("shutdown")
    assert debian.wait_end(120) == 0


# A lab host has two processors.
@pytest.mark.parametrize("processors", [1, 2, 4])
def test_its_processors_stand_stress(server, processors):
    before = getattr(server, "debian", None)
    if before is not None and before.is_running:
        before.order("off")
        assert before.wait_end() == 0
    set_keys(server, {"numvcpus": processors})
    vm = boot(server)
    try:
        assert guest(vm, "nproc").split()[-1] == str(processors)
        guest(vm, f"stress-ng --cpu {processors} --vm 1 --vm-bytes 64M --switch 1 --timeout 8s > /tmp/stress.log 2>&1", 300)
        assert complaints(vm) == ""
        vm.order("shutdown")
        assert vm.wait_end(180) == 0
    finally:
        if vm.is_running:
            vm.process.kill()
            vm.process.wait(30)
