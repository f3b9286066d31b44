"""The boot medium that `make image` builds, seen from outside: its partitions, its files, and what its loader remembers."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import paths

IMAGE = paths.BUILD / "wafer.img"
LAYOUT = paths.BUILD / "image" / "layout.tsv"
# On the boot medium's EFI system partition (docs/formats/boot-environment.md).
ENVIRONMENT = "WAFER-ESP/grub/grubenv"
HEADER = b"# GRUB Environment Block\n"


@dataclass(frozen=True)
class Image:
    """How a simulated server boots the image as if from flash, instead of being handed a kernel."""

    path: Path = IMAGE
    # What the medium is attached to: usb, virtio or ahci.
    bus: str = "usb"
    # The file itself is the medium, and what the host writes stays; else the host gets a copy that goes with it.
    keep: bool = False
    # The lab channel is opened; without, this is the product as it is.
    lab: bool = True
    # Every write is recorded: `Host.recording`.
    record: bool = False

    def place(self, directory: Path) -> "Medium":
        """The medium for a host whose files are in this directory."""
        if not self.path.exists():
            raise FileNotFoundError(f"{self.path} is missing: run make image")
        if self.keep:
            return Medium(self.path)
        return Medium(self.path).copy(directory / "boot.img")


class Medium:
    """A boot medium's file. Only while no host runs from it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def copy(self, target: Path) -> "Medium":
        """Another one like this. What is zero takes no space."""
        target.unlink(missing_ok=True)
        subprocess.run(["cp", "--sparse=always", "--reflink=auto", self.path, target], check=True)
        return Medium(target)

    @staticmethod
    def places() -> dict[str, tuple[int, int]]:
        """Partitions by name, and files as the builder placed them by `PARTITION/path`: offset and length in bytes."""
        lines = (line.split("\t") for line in LAYOUT.read_text().splitlines())
        return {name: (int(offset), int(length)) for name, offset, length in lines}

    def read(self, name: str) -> bytes:
        """A partition's or file's bytes."""
        offset, length = self.places()[name]
        with self.path.open("rb") as stream:
            stream.seek(offset)
            return stream.read(length)

    def write(self, name: str, data: bytes, at: int = 0) -> None:
        """Writes into a partition or file, `at` bytes from its beginning."""
        offset, length = self.places()[name]
        if at + len(data) > length:
            raise ValueError(f"{name} has only {length} bytes")
        with self.path.open("r+b") as stream:
            stream.seek(offset + at)
            stream.write(data)

    def copy_partition(self, source: str, target: str) -> None:
        """Makes one partition what another one is."""
        self.write(target, self.read(source))

    @property
    def environment(self) -> dict[str, str]:
        """The loader's variables."""
        lines = self.read(ENVIRONMENT).decode().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))

    def set_environment(self, **values: str | None) -> None:
        """Changes the loader's variables; None takes one away."""
        variables = {**self.environment, **values}
        text = HEADER + "".join(f"{name}={value}\n" for name, value in variables.items() if value is not None).encode()
        length = self.places()[ENVIRONMENT][1]
        # The host changes its variables in one sector, and needs some room for that.
        if len(text) > 448:
            raise ValueError("the loader's environment has no room for this")
        self.write(ENVIRONMENT, text.ljust(length, b"#"))
