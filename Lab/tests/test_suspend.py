"""Suspending to disk: guests go on where they were, with their data right and the time right."""

import re
import time

import pytest

from Lab import busybox
from Lab.debian_guest import FILE, complaints, guest, log_in
from Lab.host import Host
from Lab.session import machine, vms_flavour
from Lab.vm import VMS, VirtualMachine

pytestmark = pytest.mark.slow

MIB = 1 << 20
BUSYBOX = "/tmp/busybox"
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


def clock(look) -> tuple[float, float]:
    """How far a clock is from this process's, and how exact that is: half the quickest answer's way there and back."""
    best = (0.0, 1e9)
    for _ in range(10):
        before = time.time()
        told = look()
        after = time.time()
        best = min(best, (told - (before + after) / 2, (after - before) / 2), key=lambda pair: pair[1])
    return best


def microseconds(text: str) -> float:
    """The time in what busybox's adjtimex says."""
    return int(re.search(r"time.tv_sec: +(\d+)", text)[1]) + int(re.search(r"time.tv_usec: +(\d+)", text)[1]) / 1e6


def clock_error(vm: VirtualMachine) -> float:
    """How far the guest's clock certainly is from the host's, in seconds."""
    # Its work would delay the answers.
    vm.console.run("kill -STOP $(cat /tmp/process)")
    theirs, loose = clock(lambda: microseconds(vm.console.run("adjtimex").check().text))
    vm.console.run("kill -CONT $(cat /tmp/process)")
    ours, slack = clock(lambda: microseconds(vm.host.run([BUSYBOX, "adjtimex"]).check().text))
    print(f"clock: guest {theirs:+.3f} s ± {loose:.3f}, host {ours:+.3f} s ± {slack:.3f}")
    return max(0.0, abs(theirs - ours) - loose - slack)


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
        print(vm.console.run("dmesg | grep -i -E 'clocksource|kvm-clock|tsc|rtc'; cat /sys/devices/system/clocksource/*/current_clocksource").text)
        clock_error(vm)
        rounds = 0
        for cycle in range(CYCLES):
            vm.host.wait_for(lambda: progress(vm)[0] > rounds + 3, 180, "the guest's work going on")
            clock_error(vm)
            state = suspend(vm)
            if cycle == 0:
                time.sleep(5)
            resume(vm, state)
            clock_error(vm)
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


def progress(vm: VirtualMachine) -> tuple[int, int]:
    """How many rounds its work has made, and how many of them were wrong."""
    rounds, bad = vm.console.run("cat /tmp/count 2>/dev/null || echo 0 0").check().text.split()
    return int(rounds), int(bad)
