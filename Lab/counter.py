"""A guest that would notice if anything happened to it: it counts by its own clock and writes to its disk all the time."""

import base64
import re

from .host import Guest
from .vm import VirtualMachine

# Twice a second; each time a block past the page cache.
SCRIPT = (
    "i=0; while :; do read -r up _ </proc/uptime; "
    "dd if=/dev/urandom of=/dev/vda bs=4096 count=1 seek=$((i % 2000)) oflag=direct conv=notrunc 2>/tmp/dd || echo DISK-FAILED; "
    "echo COUNT $i $up; i=$((i + 1)); sleep 0.5; done")
DISK = {
    "scsi0.present": "TRUE", "scsi0.virtualDev": "wafer-virtio", "scsi0:0.present": "TRUE", "scsi0:0.fileName": "data.img"}


def make(host: Guest, settings: dict[str, object] | None = None, directory: str = "") -> VirtualMachine:
    """Describes it, as `counter`, with its disk."""
    machine = VirtualMachine.make(
        host, "counter", {**DISK, **(settings or {})}, command_line=f"wafer.sh={base64.b64encode(SCRIPT.encode()).decode()}",
        directory=directory)
    host.put(bytes(8 << 20), f"{machine.directory}/data.img")
    return machine


def check(text: str) -> tuple[int, str]:
    """That it has counted on and written on, as its console says: without a gap, and in time.

    Returns the first number, and a summary.
    """
    ticks = [(int(number), float(uptime)) for number, uptime in re.findall(r"COUNT (\d+) ([\d.]+)\r?\n", text)]
    assert "DISK-FAILED" not in text
    first = ticks[0][0]
    assert [number for number, _ in ticks] == list(range(first, first + len(ticks))), "the guest counted on"
    gaps = [after - before for (_, before), (_, after) in zip(ticks, ticks[1:])]
    assert max(gaps) <= 2
    return first, f"{len(ticks)} counts over {ticks[-1][1] - ticks[0][1]:.0f} s; longest gap {max(gaps):.2f} s"
