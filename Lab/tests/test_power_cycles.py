"""A hundred power cycles of the Debian guest leave nothing behind, neither on the host nor on the guest's disk."""

import re
import time
from dataclasses import dataclass

import pytest

from Lab.debian_guest import COMPLAINTS, FILE, FILE_SYSTEM, boot, complaints, guest, set_keys
from Lab.host import Host
from Lab.images.vmx import DEBIAN_COMMAND_LINE
from Lab.progress import say
from Lab.session import bench_flavour, machine
from Lab.vm import DEBIAN, VirtualMachine

pytestmark = pytest.mark.slow

# Of each kind, and how many of them come before what is used is looked at for the first time.
CYCLES, WARM_UP = 50, 5
# How much less memory the host may have available afterwards: what its own lists and caches take.
MEMORY_KIB = 8192
# systemd's first words: the root file system is mounted for writing, and the guest has begun to use it.
ALIVE = "Welcome to"


@pytest.fixture(scope="module")
def server():
    with Host("power-cycles", machine(), bench_flavour()) as host:
        yield host


@dataclass(frozen=True)
class HostUse:
    """What the host has in use while no VM runs."""

    programs: list[str]
    interfaces: list[str]
    files: list[str]
    open_files: int
    init_descriptors: int
    available_kib: int
    unreclaimable_kib: int

    @classmethod
    def measure(cls, server: Host) -> "HostUse":
        server.run(["sh", "-c", "sync; echo 3 > /proc/sys/vm/drop_caches"], root="/bench").check()
        processes = server.processes()
        memory = server.memory()
        return cls(
            # Without the kernel's own threads, which come and go.
            sorted(process.command for process in processes if not process.command.startswith("[")),
            sorted(server.entries("/sys/class/net")),
            sorted(name for name in server.entries(DEBIAN) if not re.fullmatch(r"vmware(-\d+)?\.log", name)),
            int(server.read_file("/proc/sys/fs/file-nr").split()[0]),
            next(process.descriptors for process in processes if process.pid == 1),
            memory["MemAvailable"], memory["SUnreclaim"])


@dataclass(frozen=True)
class ProcessUse:
    """What a `vmx` has in use."""

    descriptors: int
    threads: int
    mappings: int
    # Without the guest's RAM, of which a guest touches other pages each time.
    pss_kib: int

    @classmethod
    def measure(cls, server: Host, pid: int) -> "ProcessUse":
        maps = server.read_file(f"/proc/{pid}/smaps")
        mappings = re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", maps)[1:]
        others = [text for text in mappings if "/memfd:guest-ram" not in text.splitlines()[0]]
        assert len(mappings) - len(others) == 1
        return cls(
            server.descriptors(pid), len(server.entries(f"/proc/{pid}/task")), len(mappings),
            sum(int(re.search(r"\nPss:\s+(\d+) kB", text)[1]) for text in others))


def see_alive(vm: VirtualMachine) -> None:
    before = vm.console.position
    vm.console.expect(ALIVE, 120)
    said = vm.console.text[before:]
    assert not re.search(COMPLAINTS, said), said


def settled(now: HostUse, before: HostUse) -> HostUse | None:
    return now if before.available_kib - now.available_kib < MEMORY_KIB else None


@pytest.fixture
def tell(capsys):
    """Says something at once: the test takes minutes."""
    def tell(text: str) -> None:
        with capsys.disabled():
            say(text)

    return tell


def test_neither_starts_nor_resets_leak(server, tell):
    set_keys(server, {"wafer.commandLine": f"{DEBIAN_COMMAND_LINE} systemd.show_status=true"})
    began = time.monotonic()
    for number in range(1, CYCLES + 1):
        with VirtualMachine(server, FILE).start() as vm:
            see_alive(vm)
            vm.order("off")
            assert vm.wait_end() == 0
        if number == WARM_UP:
            host_before = HostUse.measure(server)
        if number % 10 == 0:
            tell(f"{number} starts and hard stops in {time.monotonic() - began:.0f} s")
    host_after = HostUse.measure(server)
    tell(f"host before: {host_before}")
    tell(f"host after: {host_after}")

    began = time.monotonic()
    with VirtualMachine(server, FILE).start() as vm:
        see_alive(vm)
        for number in range(1, CYCLES + 1):
            vm.order("reset")
            see_alive(vm)
            if number == WARM_UP:
                before = ProcessUse.measure(server, vm.process.pid)
            if number % 10 == 0:
                tell(f"{number} resets in {time.monotonic() - began:.0f} s")
        after = ProcessUse.measure(server, vm.process.pid)
        assert vm.status().values["resets"] == str(CYCLES)
        vm.order("off")
        assert vm.wait_end() == 0
    tell(f"vmx before: {before}")
    tell(f"vmx after: {after}")
    # The kernel gives some of a guest's memory back only after its process is gone; what leaked never comes back.
    host_end = server.wait_for(lambda: settled(HostUse.measure(server), host_before), 60, "the guest's memory coming back")
    tell(f"host at the end: {host_end}")

    for later in (host_after, host_end):
        assert later.programs == host_before.programs
        assert later.interfaces == host_before.interfaces
        assert later.files == host_before.files
        assert later.init_descriptors == host_before.init_descriptors
        assert later.open_files - host_before.open_files < CYCLES - WARM_UP
        assert host_before.available_kib - later.available_kib < MEMORY_KIB
        assert later.unreclaimable_kib - host_before.unreclaimable_kib < 4096
    assert after.descriptors == before.descriptors
    assert after.threads == before.threads
    assert after.mappings == before.mappings
    assert after.pss_kib - before.pss_kib < 256


def test_the_guest_is_as_well_as_before(server):
    """After the cycles above: it boots to the end, says nothing of errors, and its file system is whole."""
    vm = boot(server)
    with vm:
        assert complaints(vm) == ""
        assert "clean" in guest(vm, "dumpe2fs -h /dev/vda1 2>/dev/null | grep 'Filesystem state'")
        vm.order("shutdown")
        assert vm.wait_end(120) == 0
    check = server.run(["/usr/sbin/e2fsck", "-f", "-n", FILE_SYSTEM], root="/bench", timeout=120)
    assert check.status == 0, check.text
    assert "Fix?" not in check.text and "skipping journal recovery" not in check.text, check.text
