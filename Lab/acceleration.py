"""Whether the machine can run the simulated server in hardware. Found out by trying, never by looking."""

import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

from . import initramfs
from .kernel import Kernel
from .paths import LAB, WAFER
from .progress import say, step

DEADLINE_S = 25


def choose(kernel: Kernel) -> str:
    """`kvm` if a trial showed that a host boots with it and finds /dev/kvm itself, else `tcg`. The result is kept."""
    wanted = os.environ.get("WAFER_LAB_ACCEL")
    if wanted:
        return wanted
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    note = LAB / "acceleration.json"
    key = [kernel.release, Path("/proc/sys/kernel/random/boot_id").read_text().strip()]
    if note.exists():
        known = json.loads(note.read_text())
        if known["key"] == key:
            return known["acceleration"]
    with step("trying whether hardware virtualisation works here"):
        found = "kvm" if _trial(kernel) else "tcg"
    say("simulated servers run in " + ("hardware" if found == "kvm" else "emulation: slower, but it works everywhere"))
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps({"key": key, "acceleration": found}))
    return found


def _trial(kernel: Kernel) -> bool:
    """Boots a host and waits for its word that virtualisation is on."""
    with tempfile.TemporaryDirectory() as scratch:
        initrd = Path(scratch, "initrd")
        initrd.write_bytes(initramfs.base(kernel).read_bytes() + initramfs.wafer(WAFER))
        log = Path(scratch, "log")
        qemu = subprocess.Popen(
            ["qemu-system-x86_64", "-nodefaults", "-no-reboot", "-display", "none", "-machine", "q35", "-accel", "kvm",
             "-cpu", "host", "-m", "512", "-kernel", kernel.image, "-initrd", initrd,
             "-append", "console=ttyS0 panic=-1", "-serial", f"file:{log}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + DEADLINE_S
            while time.monotonic() < deadline and qemu.poll() is None:
                if log.exists() and b"hardware virtualisation is on" in log.read_bytes():
                    return True
                time.sleep(0.1)
            return False
        finally:
            qemu.kill()
            qemu.wait()
