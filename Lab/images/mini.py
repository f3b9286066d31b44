"""The minimal guest: Debian's cloud kernel, busybox and one script. Boots in seconds and does what the kernel command line says."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from . import debian, vmx
from .initramfs import Archive
from .workshop import BUILD, CACHE, RECIPES, BuildError, Product, need, remove_tree, say, timed

OUTPUT = BUILD / "mini"
KERNEL = OUTPUT / "vmlinuz"
INITRD = OUTPUT / "initrd.img"
HOST_INITRD = OUTPUT / "initrd-host.img"
CONFIGURATION = OUTPUT / "mini.vmx"
SCRIPTS = RECIPES / "mini"

PACKAGES = ["linux-image-cloud-amd64", "busybox-static"]

# Drivers of our devices (and of the peers' microvm: virtio over MMIO); what they depend on is found.
MODULES = """
    virtio_pci virtio_mmio virtio_blk virtio_net virtio_console virtio-rng virtio_balloon vmw_vsock_virtio_transport button evdev
""".split()

# With these as well it can stand in for a lab host: KVM, taps, bridges and vhost, to try guests without the appliance.
HOST_MODULES = [*MODULES, "kvm-amd", "kvm-intel", "tun", "bridge", "vhost_net"]

NEEDS = ["mmdebstrap", "apt-get"]


def build() -> Product:
    need(*NEEDS)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    CONFIGURATION.write_text(vmx.mini())
    inputs = [RECIPES / name for name in ("mini.py", "debian.py", "initramfs.py")]
    recipe = Product("mini", [KERNEL, INITRD, HOST_INITRD], [*inputs, SCRIPTS, *debian.sources()])
    if recipe.fresh():
        say("minimal guest: nothing changed")
        return recipe
    recipe.forget()
    tree = CACHE / "mini-tree"
    with timed("minimal guest: kernel and busybox"):
        debian.extract(tree, PACKAGES, CACHE / "mini.log")
        try:
            shutil.copyfile(_only(tree, "boot/vmlinuz-*"), KERNEL)
            archive(tree, MODULES).write(INITRD)
            archive(tree, HOST_MODULES).write(HOST_INITRD)
        finally:
            remove_tree(tree)
    recipe.done()
    say(f"minimal guest: kernel {KERNEL.stat().st_size} bytes, initrd {INITRD.stat().st_size} bytes")
    return recipe


def archive(tree: Path, wanted: list[str]) -> Archive:
    """The initramfs, from an unpacked kernel and busybox."""
    result = Archive()
    for folder in ("proc", "sys", "dev", "tmp", "etc", "root", "mnt", "bin"):
        result.folder(folder)
    result.character_device("dev/console", 5, 1)
    result.file("bin/busybox", (tree / "bin/busybox").read_bytes(), 0o755)
    result.link("bin/sh", "busybox")
    for script in ("init", "hello", "udhcpc"):
        result.file(script, (SCRIPTS / script).read_bytes(), 0o755)
    order = _in_order(wanted, {path.stem.replace("-", "_"): path for path in tree.glob("lib/modules/*/kernel/**/*.ko")})
    for path in order:
        result.file(f"modules/{path.name}", path.read_bytes())
    result.file("modules/order", "".join(f"{path.stem}\n" for path in order).encode())
    return result


def _in_order(wanted: list[str], modules: dict[str, Path]) -> list[Path]:
    """The wanted modules and what they depend on, each after its own dependencies, as their `.modinfo` sections say."""
    order: list[Path] = []

    def visit(name: str) -> None:
        path = modules.get(name.replace("-", "_"))
        if path is None:
            raise BuildError(f"Debian's kernel has no module {name}")
        if path in order:
            return
        found = re.search(rb"\0depends=([^\0]*)\0", path.read_bytes())
        for dependency in filter(None, found[1].decode().split(",") if found else []):
            visit(dependency)
        order.append(path)

    for name in wanted:
        visit(name)
    return order


def _only(tree: Path, pattern: str) -> Path:
    found = sorted(tree.glob(pattern))
    if len(found) != 1:
        raise BuildError(f"{len(found)} files match {pattern} in Debian's packages, expected one")
    return found[0]
