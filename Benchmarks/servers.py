"""The host itself: the image from power on to its direct console, beside Debian's own boot as a server on the same hardware.

Both are told nothing but what they need; the memory is what is gone on a server with 1 GiB once it has come to rest: of what the kernel has
to give out (MemTotal - MemAvailable of /proc/meminfo, what `free` calls used and kept in reserve), and all in all, with the kernel itself.
Debian is the sample guest's: its small kernel for virtual machines, systemd, a network, sshd, a login prompt, nothing else. It has the
advantage of a disk that it need not read as a whole, where the image unpacks itself into memory.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Callable

from Lab import acceleration, debian_guest, kernel, paths
from Lab.host import Flavour, Host, connect
from Lab.images import guest, vmx
from Lab.medium import Image
from Lab.qemu import Disk, Kernel, Machine, arguments
from Lab.vm import Console

MEMORY_MIB = 1024
# Agents that have nothing to do any more, caches that are filled.
REST_SECONDS = 15


def measure(rounds: int, result: Callable[[str, str, float], None], note: Callable[[str], None]) -> None:
    guest.build()
    for turn in range(rounds):
        for name, boot in (("ours", _ours), ("debian 12", _debian)):
            seconds, meminfo = boot()
            total, available = (int(re.search(rf"{field}:\s+(\d+) kB", meminfo)[1]) * 1024 / 1e6 for field in ("MemTotal", "MemAvailable"))
            everything = MEMORY_MIB * (1 << 20) / 1e6
            result("host-boot", name, seconds)
            result("host-memory", name, total - available)
            result("host-memory-all", name, everything - available)
            note(f"server: {name}, {turn + 1} of {rounds}: {seconds:.1f} s, {total - available:.0f} MB")


def _ours() -> tuple[float, str]:
    flavour = Flavour("product", ["wafer.agents=1"], network="")
    with Host("bench-server", Machine(2, MEMORY_MIB, boot=Image(bus="virtio")), flavour) as host:
        def shown() -> re.Match | None:
            return re.search(r"shown on /dev/tty1 ([\d.]+) s", host.run(["wafer", "log", "-n", "500", "messages"]).text)
        seconds = float(host.wait_for(shown, 120, "the direct console")[1])
        time.sleep(REST_SECONDS)
        return seconds, host.read_file("/proc/meminfo")


def _debian() -> tuple[float, str]:
    directory = paths.LAB / "hosts" / "bench-debian"
    directory.mkdir(parents=True, exist_ok=True)
    overlay = directory / "disk.qcow2"
    overlay.unlink(missing_ok=True)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", guest.EXTENT, overlay], check=True)
    machine = Machine(2, MEMORY_MIB, disks=[Disk(overlay, "root", format="qcow2")])
    start = Kernel(guest.KERNEL, guest.INITRD, vmx.DEBIAN_COMMAND_LINE)
    # A Unix socket's path has at most 107 bytes, and a clone may lie deep.
    sockets = Path(tempfile.mkdtemp(prefix="wafer-lab-"))
    command = arguments(machine, acceleration.choose(kernel.get()), start, directory, sockets)
    with (directory / "qemu.log").open("wb") as log:
        qemu = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        console = Console(connect(sockets / "serial", 30, lambda: qemu.poll() is None))
        uptime = console.expect(r"WAFER-GUEST-READY .*uptime=([\d.]+) ", 180)[1]
        debian_guest.log_in_at(console)
        time.sleep(REST_SECONDS)
        return float(uptime), console.run("cat /proc/meminfo").output.decode()
    finally:
        qemu.kill()
        qemu.wait()
        shutil.rmtree(sockets, ignore_errors=True)
