"""Debian's kernel: fetched as a package and unpacked, never installed."""

import json
import lzma
import re
import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .paths import LAB
from .progress import exclusive, step

METAPACKAGE = "linux-image-amd64"


@dataclass(frozen=True)
class Kernel:
    """An unpacked kernel package."""

    release: str
    directory: Path

    @property
    def image(self) -> Path:
        return self.directory / "boot" / f"vmlinuz-{self.release}"

    @property
    def unpacked(self) -> Path:
        """The same kernel not compressed: an emulated processor takes seconds for that. QEMU starts it through PVH."""
        return self.directory / "boot" / f"vmlinux-{self.release}"

    @property
    def modules(self) -> Path:
        return self.directory / "lib" / "modules" / self.release


def _decompress(image: bytes) -> bytes:
    """The ELF file in a bzImage (Documentation/x86/boot.rst: setup_sects, payload_offset, payload_length)."""
    sectors = image[0x1F1] or 4
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = (sectors + 1) * 512 + offset
    return lzma.LZMADecompressor().decompress(image[start:start + length])


def unpack(package: str, target: Path) -> None:
    """Fetches a package from Debian and unpacks it into a folder."""
    target.mkdir(parents=True, exist_ok=True)
    with step(f"fetching {package} from Debian"):
        subprocess.run(
            ["apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", package],
            cwd=target, check=True, stdout=subprocess.DEVNULL)
    archive = next(target.glob("*.deb"))
    with step(f"unpacking {archive.name}"):
        subprocess.run(["dpkg-deb", "-x", archive, target], check=True)
    archive.unlink()


def get() -> Kernel:
    """The kernel to boot; fetched from Debian the first time."""
    with exclusive():
        return _get()


def _get() -> Kernel:
    note = LAB / "kernel" / "kernel.json"
    if note.exists():
        kernel = Kernel(json.loads(note.read_text())["release"], note.parent / "tree")
        if kernel.unpacked.exists():
            return kernel
    shutil.rmtree(note.parent, ignore_errors=True)
    note.parent.mkdir(parents=True)
    depends = subprocess.run(["apt-cache", "depends", METAPACKAGE], check=True, capture_output=True, text=True).stdout
    found = re.search(r"Depends: (linux-image-(\S+))", depends)
    if not found:
        raise RuntimeError(f"apt knows no {METAPACKAGE}; run apt-get update first")
    package, release = found.groups()
    kernel = Kernel(release, note.parent / "tree")
    unpack(package, kernel.directory)
    subprocess.run(["/sbin/depmod", "-b", kernel.directory, release], check=True)
    kernel.unpacked.write_bytes(_decompress(kernel.image.read_bytes()))
    note.write_text(json.dumps({"release": release}))
    return kernel
