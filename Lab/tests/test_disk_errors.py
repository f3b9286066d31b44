"""Storage of the host that is full or broken: the guest sees an error or its administrator a question, and no data is lost."""

import re
import subprocess

import pytest

from Lab.host import Host
from Lab.qemu import Disk
from Lab.session import machine, vms_flavour
from Lab.vm import VirtualMachine

pytestmark = pytest.mark.slow

MIB = 1 << 20
# The small datastore's free space is less than what the guest writes, and with the ballast gone it is more.
DATASTORE, DISK, BALLAST, WRITTEN = 96 * MIB, 128 * MIB, 56 * MIB, 48 * MIB
# A disk of the host that fails: these bytes cannot be written the first time, those never read.
BROKEN, BROKEN_WRITE, BROKEN_READ = 64 * MIB, 8 * MIB, 16 * MIB


def broken_disk(path, name: str) -> list[str]:
    """QEMU's words for a disk whose storage fails."""
    with path.open("wb") as stream:
        stream.truncate(BROKEN)
    failures = [("write", BROKEN_WRITE, "on"), ("read", BROKEN_READ, "off")]
    rules = "".join(
        f",inject-error.{number}.event=none,inject-error.{number}.iotype={kind},inject-error.{number}.errno=5,"
        f"inject-error.{number}.sector={at // 512},inject-error.{number}.once={once}"
        for number, (kind, at, once) in enumerate(failures))
    return [
        "-blockdev", f"driver=file,filename={path},node-name={name}-file",
        "-blockdev", f"driver=blkdebug,image={name}-file,node-name={name}{rules}",
        "-device", f"virtio-blk-pci,drive={name},serial={name}"]


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    folder = tmp_path_factory.mktemp("disks")
    small = folder / "small.img"
    with small.open("wb") as stream:
        stream.truncate(DATASTORE)
    subprocess.run(["/sbin/mkfs.ext4", "-q", "-m", "0", small], check=True)
    hardware = machine()
    hardware.disks.append(Disk(small, "small"))
    for name in ("broken0", "broken1"):
        hardware.extra += broken_disk(folder / f"{name}.img", name)
    with Host("test-disk-errors", hardware, vms_flavour(), ["wafer.mount=SERIAL=small:/small"]) as host:
        yield host


def start(host: Host, directory: str, disk: str, keys: dict[str, object] | None = None) -> VirtualMachine:
    """A minimal guest with the disk, at its shell."""
    vm = VirtualMachine.make(host, directory.rpartition("/")[2], {
        "scsi0.present": "TRUE", "scsi0.virtualDev": "wafer-virtio", "scsi0:0.present": "TRUE", "scsi0:0.fileName": disk,
        **(keys or {})}, directory=directory, command_line="wafer.net=off")
    vm.start()
    log_in(vm)
    return vm


def log_in(vm: VirtualMachine) -> None:
    vm.console.expect("GUEST-DONE pass", 120)
    vm.console.type("\n stty -echo; PS1=\n")


@pytest.fixture
def full(host, tools):
    """A datastore with a VM's folder and thin disk, most of whose room is taken by a ballast."""
    script = (
        f"rm -rf /small/*; mkdir /small/vm; $0 truncate -s {DISK} /small/vm/disk.img; "
        f"$0 dd if=/dev/zero of=/small/ballast bs=1M count={BALLAST // MIB} conv=fsync")
    host.run([*tools, "sh", "-ec", script, *tools]).check()
    return "/small/vm"


def said(vm: VirtualMachine, command: str, timeout: float = 120) -> str:
    """Runs a command in the guest, which must succeed."""
    result = vm.console.run(command, timeout)
    text = result.output.decode(errors="replace")
    assert result.status == 0, f"{command}: {text}\n{vm.report()}"
    return text


PATTERN = f"dd if=/dev/urandom of=/tmp/pattern bs=1M count={WRITTEN // MIB} 2>/dev/null"
WRITE = "dd if=/tmp/pattern of=/dev/vda bs=1M conv=fsync,notrunc"
VERIFY = (
    f"echo 3 > /proc/sys/vm/drop_caches; head -c {WRITTEN} /dev/vda | cmp - /tmp/pattern")
NO_ERRORS = "! dmesg | grep 'I/O error'"


def start_writing(vm: VirtualMachine) -> None:
    """Has the guest write more than the storage takes; it says so when it has done it."""
    said(vm, PATTERN)
    vm.console.type(f" {WRITE} 2>/dev/null; echo WROTE-$?\n")


def asked(vm: VirtualMachine, number: int):
    """Waits for a question."""
    return vm.host.wait_for(
        lambda: (status := vm.status()).question and status.question_number == str(number) and status, 120,
        f"question {number}")


def answer_until(vm: VirtualMachine, choice: str, said: str) -> None:
    """Gives every question the same answer until the guest has said something."""
    def step() -> bool:
        if question := (status := vm.status()).question:
            vm.control("answer", status.question_number, choice)
        return not question and re.search(said, vm.console.text) is not None

    vm.host.wait_for(step, 120, said)


@pytest.mark.parametrize("direct", ["TRUE", "FALSE"], ids=["direct", "through the page cache"])
def test_when_the_storage_is_full_the_vm_waits_and_loses_nothing(host, full, direct):
    with start(host, full, "disk.img", {"scsi0:0.wafer.direct": direct}) as vm:
        start_writing(vm)
        status = asked(vm, 1)
        assert status.state == "question"
        assert "disk.img" in status.question and "No space left on device" in status.question
        assert status.choices == ["Retry", "Report the error to the guest"]
        exits = vm.statistics()["vcpu0.exits"]
        refused = vm.control("resume")
        assert refused.status == 1 and "question" in refused.errors.decode()
        assert vm.control("answer", "1", "7").status == 1
        assert vm.statistics()["vcpu0.exits"] == exits
        assert "WROTE" not in vm.console.text

        # Too soon: nothing was freed.
        vm.order("answer", "1", "0")
        assert asked(vm, 2).state == "question"
        assert vm.control("answer", "1", "0").status == 1

        host.remove("/small/ballast")
        vm.order("answer", "2", "0")
        vm.console.expect(r"WROTE-0\r?\n", 120)
        said(vm, VERIFY)
        said(vm, NO_ERRORS)
        status = vm.status()
        assert status.state == "running" and status.question is None
        vm.order("off")
        assert vm.wait_end() == 0


def test_the_answer_can_be_that_the_guest_sees_the_error(host, full):
    with start(host, full, "disk.img", {"wafer.diskError": "pause"}) as vm:
        start_writing(vm)
        assert asked(vm, 1).state == "question"
        # Requests that were on their way meanwhile make it ask again.
        answer_until(vm, "1", r"WROTE-1\r?\n")
        assert "I/O error" in said(vm, "dmesg | grep 'I/O error'")
        host.remove("/small/ballast")
        said(vm, f"{WRITE} 2>/dev/null && {VERIFY}")
        assert vm.status().state == "running"


def test_told_to_report_it_lets_the_guest_see_the_error_and_spoils_nothing(host, full):
    with start(host, full, "disk.img", {"wafer.diskError": "report"}) as vm:
        # What is safe before must be so afterwards.
        said(vm, "exec 2>/dev/null; dd if=/dev/urandom of=/tmp/safe bs=1M count=4; "
                 "dd if=/tmp/safe of=/dev/vda bs=1M seek=96 conv=fsync,notrunc")
        start_writing(vm)
        vm.console.expect(r"WROTE-1\r?\n", 120)
        assert "I/O error" in said(vm, "dmesg | grep 'I/O error'")
        status = vm.status()
        assert status.state == "running" and status.question is None
        safe = "echo 3 > /proc/sys/vm/drop_caches; dd if=/dev/vda bs=1M skip=96 count=4 2>/dev/null | cmp - /tmp/safe"
        said(vm, safe)
        host.remove("/small/ballast")
        said(vm, f"{WRITE} 2>/dev/null && {VERIFY} && {safe}")


def test_a_reset_withdraws_the_question_and_the_next_guest_gets_its_own(host, full):
    with start(host, full, "disk.img") as vm:
        start_writing(vm)
        asked(vm, 1)
        vm.order("reset")
        log_in(vm)
        status = vm.status()
        assert status.state == "running" and status.question is None
        start_writing(vm)
        asked(vm, 2)
        host.remove("/small/ballast")
        vm.order("answer", "2", "0")
        vm.console.expect(r"WROTE-0\r?\n", 120)
        said(vm, VERIFY)


def test_powered_off_with_a_question_it_ends(host, full):
    with start(host, full, "disk.img") as vm:
        start_writing(vm)
        asked(vm, 1)
        vm.order("off")
        assert vm.wait_end() == 0


def host_device(host: Host, serial: str) -> str:
    for name in host.entries("/sys/block"):
        try:
            if host.read_file(f"/sys/block/{name}/serial") == serial:
                return f"/dev/{name}"
        except OSError:
            pass  # not a virtio disk
    raise LookupError(f"the host has no disk {serial}")


def test_a_failed_write_stops_the_vm_and_succeeds_when_tried_again(host):
    with start(host, "/vms/vms/stops", host_device(host, "broken0"), {"wafer.diskError": "pause"}) as vm:
        start_writing(vm)
        status = asked(vm, 1)
        assert status.state == "question" and "Input/output error" in status.question
        vm.order("answer", "1", "0")
        # Reading what cannot be read is in the way of verifying all of it.
        vm.console.expect(r"WROTE-0\r?\n", 120)
        near = BROKEN_WRITE // MIB
        said(vm, f"dd if=/dev/vda bs=1M skip={near} count=4 iflag=direct 2>/dev/null > /tmp/back; "
                 f"dd if=/tmp/pattern bs=1M skip={near} count=4 2>/dev/null | cmp - /tmp/back")
        said(vm, NO_ERRORS)


def test_a_failed_read_or_write_is_an_error_to_the_guest(host):
    with start(host, "/vms/vms/sees", host_device(host, "broken1")) as vm:
        start_writing(vm)
        vm.console.expect(r"WROTE-1\r?\n", 120)
        said(vm, f"! dd if=/dev/vda of=/dev/null bs=4096 skip={BROKEN_READ // 4096} count=1 iflag=direct")
        assert "I/O error" in said(vm, "dmesg | grep 'I/O error'")
        # The rest of it works.
        said(vm, f"dd if=/dev/vda bs=1M count=4 iflag=direct 2>/dev/null > /tmp/back; "
                 f"head -c {4 * MIB} /tmp/pattern | cmp - /tmp/back")
        status = vm.status()
        assert status.state == "running" and status.question is None
        assert vm.statistics()["scsi0:0.errors"] >= 2
