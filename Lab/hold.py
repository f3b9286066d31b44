"""Keeps KVM on an emulated host from patching the kernel's text; see hold_kvm.c."""

import subprocess
from pathlib import Path

from .paths import LAB
from .progress import exclusive
from .toolchain import tool

SOURCE = Path(__file__).resolve().parent / "hold_kvm.c"
# Where it is put on a host.
PLACE = "/tmp/hold-kvm"


def get() -> Path:
    """The program, compiled if it is older than its source."""
    binary = LAB / "hold-kvm"
    with exclusive():
        if not binary.exists() or binary.stat().st_mtime < SOURCE.stat().st_mtime:
            LAB.mkdir(parents=True, exist_ok=True)
            new = binary.with_suffix(".new")
            subprocess.run(
                [tool("clang"), "-O2", "-Wall", "-Wextra", "-static", "-nostdlib", "-fno-stack-protector", "-o", new, SOURCE],
                check=True)
            new.rename(binary)
    return binary
