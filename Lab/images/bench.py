"""The bench host's userland: Debian's QEMU, fio and iperf3 in a file system that a lab host mounts at /bench and runs through chroot.

Kernel and init stay the appliance's own, so QEMU and our `vmx` run side by side on one host in one run.
"""

from __future__ import annotations

import shlex
import shutil

from . import debian, disk
from .workshop import BUILD, CACHE, MIB, RECIPES, BuildError, Product, as_root, need, remove_tree, run, say, sparse_size, timed

IMAGE = BUILD / "bench.img"
LABEL = "bench"
SIZE = 1024 * MIB
FILES = RECIPES / "bench"

PACKAGES = """
    qemu-system-x86 fio iperf3 socat
    bash dash coreutils grep sed findutils mawk util-linux mount e2fsprogs procps kmod iproute2 iputils-ping python3-minimal
""".split()

# Not configured but only unpacked, so dpkg's own exclusions do not apply: what no benchmark opens goes afterwards.
UNWANTED = [
    *(f"usr/share/{name}" for name in ("doc", "man", "info", "locale", "lintian", "bug", "icons", "X11", "fonts", "xml", "zoneinfo")),
    *("usr/share/perl", "usr/share/perl5", "usr/lib/x86_64-linux-gnu/perl", "usr/lib/x86_64-linux-gnu/perl-base"),
    *("usr/lib/x86_64-linux-gnu/dri", "usr/lib/x86_64-linux-gnu/gconv", "usr/lib/systemd", "usr/lib/udev", "var/cache", "var/lib/dpkg"),
    *(f"usr/share/qemu/{name}" for name in ("hppa-firmware.img", "skiboot.lid", "slof.bin", "openbios-*", "opensbi-*", "palcode-clipper")),
    *("usr/share/qemu/s390-*", "usr/share/qemu/*.dtb", "usr/share/qemu/trace-events-all"),
]

# Run in the finished tree: a missing library must fail the build, not tomorrow's benchmark.
CHECKS = [
    "qemu-system-x86_64 --version",
    "qemu-system-x86_64-microvm --version",
    "qemu-system-x86_64 -machine help | grep -q q35",
    "fio --version",
    "iperf3 --version",
    "socat -V",
    "python3 -c 'import json, socket, subprocess'",
    "ip -V",
    "vmstat --version",
    "awk 'BEGIN { print 1 }'",
    "mke2fs -V",
]

NEEDS = ["mmdebstrap", "apt-get", "mke2fs", "e2fsck", "ldconfig", "chroot"]


def build() -> Product:
    need(*NEEDS)
    inputs = [RECIPES / name for name in ("bench.py", "debian.py", "disk.py")]
    recipe = Product("bench", [IMAGE], [*inputs, FILES, *debian.sources()])
    if recipe.fresh():
        say("bench userland: nothing changed")
        return recipe
    recipe.forget()
    tree = CACHE / "bench-tree"
    log = CACHE / "bench.log"
    with timed("bench userland: QEMU, fio, iperf3"):
        debian.extract(tree, PACKAGES, log)
        try:
            run(as_root(["sh", "-c", _finish(str(tree))]), log=log)
            for check in CHECKS:
                run(as_root(["chroot", tree, "/bin/sh", "-c", check]), log=log)
            disk.make_file(IMAGE, SIZE)
            disk.make_ext4(IMAGE, tree, SIZE, LABEL)
            disk.check_ext4(IMAGE)
        finally:
            remove_tree(tree)
    recipe.done()
    say(f"bench userland: {sparse_size(IMAGE)}")
    return recipe


def _finish(tree: str) -> str:
    """The little that packages' own scripts would have set up, as one shell script."""
    if shutil.which("ldconfig") is None:
        raise BuildError("not installed: ldconfig; run `make deps`")
    quoted = shlex.quote(tree)
    return "\n".join(
        [
            "set -eu",
            f"cd {quoted}",
            f"rm -rf {' '.join(UNWANTED)}",
            "for place in proc sys dev run tmp root mnt vms etc; do mkdir -p $place; done",
            "chmod 1777 tmp",
            "rm -rf var/tmp && ln -s /tmp var/tmp",  # where QEMU keeps snapshots; the rest may be mounted read-only
            f"tar --owner=0 --group=0 --mode=u=rwX,go=rX -C {shlex.quote(str(FILES))} -c . | tar -x --keep-directory-symlink",
            "ln -sf mawk usr/bin/awk",
            "ln -sf python3.11 usr/bin/python3",
            f"ldconfig -r {quoted}",
        ]
    )
