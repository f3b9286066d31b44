"""What keeps an emulated server from what its emulator gets wrong: small programs that run on it, and one in the emulator."""

import subprocess
from pathlib import Path

from ..paths import LAB
from ..progress import exclusive
from ..toolchain import tool

HERE = Path(__file__).resolve().parent
HOLD_KVM = "hold_kvm"
PROBE_TIMERS = "probe_timers"
LOCK_INTERRUPTS = "lock_interrupts"

BARE = ["-static", "-nostdlib", "-fno-stack-protector"]
SHARED = ["-shared", "-fPIC"]


def program(name: str) -> Path:
    """The program, compiled if it is older than its source."""
    binary = LAB / "probes" / name
    sources = [HERE / f"{name}.c", HERE / "bare.h"]
    with exclusive():
        if not binary.exists() or binary.stat().st_mtime < max(source.stat().st_mtime for source in sources):
            binary.parent.mkdir(parents=True, exist_ok=True)
            new = binary.with_suffix(".new")
            subprocess.run(
                [tool("clang"), "-O2", "-Wall", "-Wextra", *(SHARED if name == LOCK_INTERRUPTS else BARE), "-o", new, sources[0]],
                check=True)
            new.rename(binary)
    return binary
