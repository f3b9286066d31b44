"""What the bench host needs besides its userland: one small disk with both guests, our binary, the drivers and the disk to measure."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from Lab import paths
from Lab.images import bench, mini
from Lab.images.initramfs import Archive
from Lab.images.workshop import need
from Lab.toolchain import tool

HERE = Path(__file__).resolve().parent
OUTPUT = paths.BUILD / "bench"
DATA = OUTPUT / "data.img"
DISK_MIB = 160


def build() -> list[Path]:
    """Makes everything; returns the userland's image and the data disk's."""
    need("mke2fs")
    bench.build()
    mini.build()
    tree = OUTPUT / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    shutil.copyfile(mini.KERNEL, tree / "vmlinuz")
    shutil.copyfile(paths.WAFER, tree / "wafer")
    (tree / "wafer").chmod(0o755)
    for script in (HERE / "host").glob("*.py"):
        shutil.copyfile(script, tree / script.name)
    clang = tool("clang")
    _run(clang, "-O2", "-static", "-Wall", "-Wextra", "-o", tree / "pingpong", HERE / "guest/pingpong.c")
    _run(clang, "-c", "-o", OUTPUT / "exits.o", HERE / "guest/exits.S")
    _run(tool("ld.lld"), "--image-base=0x100000", "-e", "start", "-o", tree / "exits.elf", OUTPUT / "exits.o")
    extra = Archive()
    extra.file("bench/pingpong", (tree / "pingpong").read_bytes(), 0o755)
    extra.file("bench/measure", (HERE / "guest/measure").read_bytes(), 0o755)
    extra.write(OUTPUT / "extra.cpio")
    # The kernel unpacks archives one after the other; each ends at a multiple of 512 bytes.
    (tree / "initrd.img").write_bytes(mini.INITRD.read_bytes() + (OUTPUT / "extra.cpio").read_bytes())
    # Written, not sparse: a file's first writes cost more, and whoever came first would pay for it.
    with (tree / "disk.raw").open("wb") as disk:
        for _ in range(DISK_MIB):
            disk.write(b"\x5a" * (1 << 20))
    DATA.unlink(missing_ok=True)
    _run("mke2fs", "-q", "-t", "ext4", "-d", tree, "-m", "0", DATA, f"{DISK_MIB + 96}M")
    shutil.rmtree(tree)
    return [bench.IMAGE, DATA]


def _run(*words) -> None:
    subprocess.run([str(word) for word in words], check=True)
