"""Suspending to disk: guests go on where they were, with their data right and the time right."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from Lab import busybox
from Lab.debian_guest import FILE, complaints, guest, log_in
from Lab.host import Host
from Lab.session import machine, vms_flavour
from Lab.vm import VMS, VirtualMachine

pytestmark = pytest.mark.slow

MIB = 1 << 20
BUSYBOX = "/tmp/busybox"
# What busybox's adjtimex says of the time, and what `date +%s.%N` does.
BUSYBOX_TIME = r"time.tv_sec: +(\d+)\s+time.tv_usec: +(\d+)"
DATE = r"(\d+)\.(\d{9})"
# How often a guest is suspended and resumed.
CYCLES = 3
# How far a guest's clock may be from its host's after it was resumed, in seconds.
CLOCK_LIMIT = 0.1


@pytest.fixture(scope="module")
def server():
    with Host("suspend", machine(), vms_flavour()) as host:
        host.put(busybox.get(), BUSYBOX, 0o755)
        yield host


def suspend(vm: VirtualMachine) -> str:
    """Suspends it; gives the file with its state."""
    vm.order("suspend", timeout=300)
    assert vm.wait_end() == 0
    state = re.search(r'checkpoint\.vmState = "(.+)"', vm.host.read_file(vm.file))
    assert state and re.fullmatch(rf"{vm.name}-[0-9a-f]{{8}}\.vmss", state[1])
    assert state[1] in vm.host.entries(vm.directory)
    return f"{vm.directory}/{state[1]}"


def resume(vm: VirtualMachine, state: str) -> None:
    """Lets it go on. Nothing is left of the file."""
    vm.start(timeout=300)
    # Its console is there first.
    vm.host.wait_for(lambda: vm.control("status").status == 0, 300, "the guest's control socket")
    vm.wait_state("running", 300)
    assert "checkpoint.vmState" not in vm.host.read_file(vm.file)
    assert state.rpartition("/")[2] not in vm.host.entries(vm.directory)


@dataclass
class Offset:
    """How far one clock is from another, in seconds, and how exact that is."""

    seconds: float
    slack: float

    def exceeds(self, other: "Offset") -> float:
        """By how much it certainly differs from another measurement."""
        return max(0.0, abs(self.seconds - other.seconds) - self.slack - other.slack)


def clock(look: Callable[[], float]) -> Offset:
    """How far a clock is from this process's; half the quickest answer's way there and back is how exact that is."""
    best = Offset(0.0, 1e9)
    for _ in range(10):
        before = time.time()
        told = look()
        after = time.time()
        if (after - before) / 2 < best.slack:
            best = Offset(told - (before + after) / 2, (after - before) / 2)
    return best


def ahead(vm: VirtualMachine, command: str, pattern: str, host: list[str]) -> Offset:
    """How far the guest's clock is ahead of the host's."""
    theirs = clock(lambda: seconds(vm.console.run(command).check().text, pattern))
    ours = clock(lambda: seconds(vm.host.run(host).check().text, BUSYBOX_TIME))
    print(f"clock: guest {theirs.seconds:+.3f} s ± {theirs.slack:.3f}, host {ours.seconds:+.3f} s ± {ours.slack:.3f}")
    return Offset(theirs.seconds - ours.seconds, theirs.slack + ours.slack)


def seconds(text: str, pattern: str) -> float:
    """The time in seconds and their fraction, as the pattern finds them."""
    found = re.search(pattern, text)
    return int(found[1]) + int(found[2]) / 10 ** len(found[2]) if len(found[2]) == 9 else int(found[1]) + int(found[2]) / 1e6


WORKLOAD = r"""
i=0; bad=0
while [ ! -e /tmp/stop ]; do
    dd if=/dev/urandom of=/tmp/block bs=64k count=4 2>/dev/null
    dd if=/tmp/block of=/dev/vda bs=64k seek=$((i % 64 * 4)) oflag=direct conv=notrunc 2>/dev/null || bad=$((bad + 1))
    dd if=/dev/vda bs=64k skip=$((i % 64 * 4)) count=4 iflag=direct 2>/dev/null | cmp -s - /tmp/block || bad=$((bad + 1))
    i=$((i + 1)); echo "$i $bad" > /tmp/count.new; mv /tmp/count.new /tmp/count
done
"""


def test_a_guest_that_writes_and_reads_goes_on_with_its_data_right(server):
    vm = VirtualMachine.make(server, "sleeper", {
        "scsi0.present": "TRUE", "scsi0.virtualDev": "wafer-virtio", "scsi0:0.present": "TRUE", "scsi0:0.fileName": "disk.img"},
        command_line="wafer.net=off")
    server.put(bytes(32 * MIB), f"{vm.directory}/disk.img")
    with vm:
        vm.console.expect("GUEST-DONE pass", 180)
        vm.console.type("\n stty -echo; PS1=\n")
        for line in WORKLOAD.strip().splitlines():
            vm.console.run(f"echo '{line}' >> /tmp/work").check()
        vm.console.run("echo token-$$ > /tmp/token; sh /tmp/work >/dev/null 2>&1 & echo $! > /tmp/process").check()
        rounds = 0
        first = time_of(vm)
        for cycle in range(CYCLES):
            vm.host.wait_for(lambda: progress(vm)[0] > rounds + 3, 180, "the guest's work going on")
            state = suspend(vm)
            if cycle == 0:
                time.sleep(5)
            resume(vm, state)
            # It began with what its RTC said, a whole second.
            assert time_of(vm).exceeds(first) <= CLOCK_LIMIT
            rounds, bad = progress(vm)
            print(f"cycle {cycle}: {rounds} rounds, {bad} bad")
            assert bad == 0
        vm.console.run("touch /tmp/stop")
        rounds, bad = progress(vm)
        assert bad == 0 and rounds > 3 * CYCLES
        kernel = vm.console.run("dmesg").check().text
        assert not re.search(r"BUG:|Oops|soft lockup|rcu: INFO|I/O error|blocked for more than", kernel), kernel[-3000:]
        vm.order("off")
        vm.wait_end()


def time_of(vm: VirtualMachine) -> Offset:
    """How far the minimal guest's clock is ahead; its work, which would delay the answers, waits meanwhile."""
    vm.console.run("kill -STOP $(cat /tmp/process)")
    offset = ahead(vm, "adjtimex", BUSYBOX_TIME, [BUSYBOX, "adjtimex"])
    vm.console.run("kill -CONT $(cat /tmp/process)")
    return offset


def progress(vm: VirtualMachine) -> tuple[int, int]:
    """How many rounds its work has made, and how many of them were wrong."""
    rounds, bad = vm.console.run("cat /tmp/count 2>/dev/null || echo 0 0").check().text.split()
    return int(rounds), int(bad)


def test_debian_goes_on_under_fio(server):
    """An unmodified system with two processors, a network card and a file system, under a load that checks what it reads."""
    vm = log_in(VirtualMachine(server, FILE).start())
    with vm:
        def now() -> Offset:
            return ahead(vm, "date +%s.%N", DATE, [BUSYBOX, "adjtimex"])

        first = now()
        guest(
            vm, "(fio --name=verify --directory=/root --rw=randwrite --bs=4k --size=16m --ioengine=libaio --iodepth=16 --direct=1 "
            "--verify=crc32c --verify_fatal=1 --do_verify=1 --loops=100000 --time_based --runtime=3600 > /tmp/fio.log 2>&1; "
            "echo ended $? > /tmp/fio.end) &")
        for cycle in range(CYCLES):
            guest(vm, "sleep 5; test ! -e /tmp/fio.end")
            resume(vm, suspend(vm))
            vm.console.type("\n")
            assert now().exceeds(first) <= CLOCK_LIMIT
            guest(vm, "test ! -e /tmp/fio.end || { cat /tmp/fio.log /tmp/fio.end; false; }")
            print(f"cycle {cycle}: fio goes on")
        # Told to stop, it verifies what it wrote last.
        guest(vm, "kill -INT $(pidof fio); for i in $(seq 300); do test -e /tmp/fio.end && break; sleep 0.2; done; test -e /tmp/fio.end")
        assert not re.search(r"bad (header|magic|pattern)|verify failed|err= *[1-9]", guest(vm, "cat /tmp/fio.log"))
        guest(vm, "ping -c 2 -w 20 10.0.2.2")
        assert complaints(vm) == ""
        vm.order("shutdown")
        vm.wait_end(120)
