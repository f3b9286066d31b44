"""The Swift toolchain's own C compiler and linker, for the few small programs that the lab runs on its hosts."""

import shutil
from pathlib import Path


def tool(name: str) -> str:
    """A tool of the toolchain; one of that name in the path if the toolchain has none."""
    swift = shutil.which("swift")
    beside = Path(swift).resolve().parent / name if swift else Path(name)
    return str(beside) if beside.exists() else name
