"""A static busybox from Debian: ordinary programs for tests on a host that has none."""

from pathlib import Path

from .kernel import unpack
from .paths import LAB
from .progress import exclusive


def get() -> Path:
    """The executable, fetched the first time."""
    tree = LAB / "busybox"
    binary = tree / "bin" / "busybox"
    with exclusive():
        if not binary.exists():
            unpack("busybox-static", tree)
    return binary
