"""The Swift tests on a simulated server: there are devices that the machine which builds them may lack."""

import re
import subprocess
from pathlib import Path

from . import paths
from .host import Flavour
from .images.initramfs import Archive

BUNDLE = paths.ROOT / ".build" / "debug" / "WaferPackageTests.xctest"


def flavour() -> Flavour:
    """A host on which the test program built last can run: with its shared libraries, and nothing else."""
    archive = Archive()
    archive.file("tests/run", BUNDLE.read_bytes(), 0o755)
    listed = subprocess.run(["ldd", BUNDLE], check=True, capture_output=True, text=True).stdout
    for name, library in re.findall(r"^\s*(\S+)(?: => (\S+))? \(0x", listed, re.MULTILINE):
        if library:
            archive.file(f"lib/tests/{name}", Path(library).resolve().read_bytes(), 0o755)
        elif name.startswith("/"):
            # The loader, which the program names by its path.
            archive.file(name.lstrip("/"), Path(name).resolve().read_bytes(), 0o755)
    return Flavour("tests", archives=[archive.finish()])


def command(pattern: str) -> list[str]:
    """What runs the tests whose names match a pattern, on such a host."""
    return ["/tests/run", "--testing-library", "swift-testing", "--filter", pattern]


ENVIRONMENT = {"LD_LIBRARY_PATH": "/lib/tests", "PATH": "/"}
