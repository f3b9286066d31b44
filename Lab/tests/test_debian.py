"""An unmodified Debian guest on our hypervisor: booted once, then used as its administrator would."""

import re

import pytest

from Lab.host import Host
from Lab.session import machine, vms_flavour
from Lab.vm import DEBIAN, VMS, VirtualMachine

pytestmark = pytest.mark.slow

# The host's and QEMU's addresses on the guest's network.
HOST, PEER = "10.0.2.100", "10.0.2.2"
COMPLAINTS = r"BUG:|Oops|soft lockup|hung task|EXT4-fs error|I/O error|rcu: INFO"


@pytest.fixture(scope="module")
def server():
    with Host("debian", machine(), vms_flavour()) as host:
        yield host


def log_in(vm: VirtualMachine) -> VirtualMachine:
    vm.console.expect("login:", 240)
    vm.console.type("root\n")
    vm.console.expect("Password:")
    vm.console.type("wafer\n")
    vm.console.expect(r"root@guest:~# ", 60)
    # A shell that neither edits its line nor echoes it: what comes back is what commands print.
    vm.console.type(" stty -echo; PS1= exec dash\n")
    return vm


def boot(server: Host) -> VirtualMachine:
    return log_in(VirtualMachine(server, f"{DEBIAN}/debian12.vmx").start())


@pytest.fixture
def debian(server, request):
    """The guest, running and logged in; a test that fails shows its console and log."""
    vm = getattr(server, "debian", None)
    if vm is None or not vm.is_running:
        vm = server.debian = boot(server)
    yield vm


def guest(vm: VirtualMachine, command: str, timeout: float = 120) -> str:
    """Runs a command on the guest's console and gives what it printed; it must succeed."""
    result = vm.console.run(command, timeout)
    assert result.status == 0, f"{command}: {result.output.decode(errors='replace')}\n{vm.report()}"
    return result.output.decode(errors="replace")


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


def test_a_network_card_comes_and_goes_while_it_runs(debian, server):
    debian.order(
        "attach", "ethernet1.addressType=static", "ethernet1.address=00:50:56:00:00:77", "ethernet1.networkName=VM Network")
    found = "grep -l 00:50:56:00:00:77 /sys/class/net/*/address"
    guest(debian, f"for i in $(seq 100); do {found} && break; sleep 0.2; done; {found}")
    debian.order("detach", "ethernet1")
    server.wait_for(lambda: "ethernet1" not in debian.status().devices, 60, "the guest letting go of the card")
    guest(debian, f"! {found}")


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
    assert guest(vm, f"dmesg | grep -cE '{COMPLAINTS}' || true").split()[-1] == "0"


def test_the_power_button_shuts_it_down(debian):
    debian.order("shutdown")
    assert debian.wait_end(120) == 0


@pytest.mark.parametrize("processors", [2, 4])
def test_more_processors_than_the_host_has_work_under_stress(server, processors):
    file = f"{DEBIAN}/debian12.vmx"
    text = server.read_file(file)
    server.put(re.sub(r'numvcpus = "\d+"', f'numvcpus = "{processors}"', text), file)
    vm = boot(server)
    try:
        assert guest(vm, "nproc").split()[-1] == str(processors)
        guest(vm, f"stress-ng --cpu {processors} --vm 1 --vm-bytes 64M --switch 1 --timeout 8s > /tmp/stress.log 2>&1", 300)
        assert guest(vm, f"dmesg | grep -cE '{COMPLAINTS}' || true").split()[-1] == "0"
        vm.order("shutdown")
        assert vm.wait_end(180) == 0
    finally:
        if vm.is_running:
            vm.process.kill()
            vm.process.wait(30)
