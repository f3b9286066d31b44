"""`make image`: what a server boots (kernel, modules, our binary), packed for release and held against the budget.

These are the parts of the system image; a medium that boots by itself, with boot loader and banks, is yet to come.
"""

import shutil
import subprocess
import sys

from . import initramfs, kernel, paths
from .progress import step

# 32 MB, in bytes as flash is sold.
BUDGET = 32_000_000
IMAGE = paths.BUILD / "image"
SIZES = paths.BUILD / "size.tsv"


def build() -> int:
    """Makes build/image/vmlinuz and build/image/initrd.xz; prints and writes the sizes of all parts."""
    linux = kernel.get()
    IMAGE.mkdir(parents=True, exist_ok=True)
    shutil.copy(linux.image, IMAGE / "vmlinuz")
    modules = _unpack(initramfs.base(linux).read_bytes())
    binary = initramfs.wafer(paths.WAFER)
    with step("packing the initial RAM file system"):
        packed = _pack(modules + binary)
        (IMAGE / "initrd.xz").write_bytes(packed)
    rows = [
        ("kernel", linux.image.stat().st_size, linux.image.stat().st_size),
        ("modules", len(modules), len(_pack(modules))),
        ("wafer", len(binary), len(_pack(binary))),
    ]
    total = linux.image.stat().st_size + len(packed)
    rows.append(("total", sum(raw for _, raw, _ in rows), total))
    SIZES.write_text("part\traw bytes\tbytes on flash\n" + "".join(f"{part}\t{raw}\t{flash}\n" for part, raw, flash in rows))
    for part, raw, flash in rows:
        print(f"{part:10} {raw:12,} {flash:12,}")
    print(f"{'budget':10} {'':12} {BUDGET:12,}")
    if total > BUDGET:
        print(f"the image exceeds its budget by {total - BUDGET:,} bytes", file=sys.stderr)
        return 1
    return 0


def _unpack(archive: bytes) -> bytes:
    # Up to three zeros follow the archive, for the one that the lab puts behind it.
    for padding in range(4):
        result = subprocess.run(["zstd", "-q", "-d", "-c"], input=archive[: len(archive) - padding], capture_output=True)
        if result.returncode == 0:
            return result.stdout
    raise RuntimeError("the archive with the modules is damaged; remove build/lab/initramfs")


def _pack(data: bytes) -> bytes:
    # The kernel's decompressor takes crc32 and the x86 filter (Documentation/staging/xz.rst).
    command = ["xz", "-9e", "--check=crc32", "--x86", "--lzma2=preset=9e", "-T0", "-c"]
    return subprocess.run(command, input=data, check=True, capture_output=True).stdout


if __name__ == "__main__":
    sys.exit(build())
