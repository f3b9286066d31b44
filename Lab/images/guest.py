"""The Debian 12 guest: its own kernels, GRUB, systemd, sshd and the load generators, on a partitioned disk behind a VMDK descriptor.

Started directly it runs the cloud flavour of the kernel, from its firmware the one for all hardware.
"""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

from . import debian, disk, grub, vmx
from .workshop import BUILD, CACHE, MIB, RECIPES, Product, need, remove_tree, run, say, sparse_size, timed

OUTPUT = BUILD / "guest"
KEY = OUTPUT / "id_ed25519"
DISK = OUTPUT / "debian12.vmdk"
EXTENT = OUTPUT / "debian12-flat.vmdk"
KERNEL = OUTPUT / "vmlinuz"
INITRD = OUTPUT / "initrd.img"
CONFIGURATION = OUTPUT / "debian12.vmx"
HOST_KEY = OUTPUT / "ssh_host_ed25519_key.pub"

DISK_SIZE = 2048 * MIB
OVERLAY = RECIPES / "guest"

# The cloud flavour of Debian's kernel: LZ4 inside (quick to unpack under emulation), ext4 built in, no drivers for real hardware, and
# all of our devices' drivers.
PACKAGES = """
    linux-image-cloud-amd64 linux-image-amd64 initramfs-tools lz4 systemd systemd-sysv udev acpid kmod
    openssh-server iproute2 iputils-ping ethtool netcat-openbsd socat procps pciutils e2fsprogs
    fio iperf3 stress-ng dmidecode acpica-tools
""".split()

NEEDS = ["mmdebstrap", "apt-get", "ssh-keygen", "mke2fs", "e2fsck", "tar", *grub.NEEDS]


def product() -> Product:
    inputs = [RECIPES / name for name in ("guest.py", "debian.py", "disk.py", "grub.py")]
    return Product(
        "guest",
        [DISK, EXTENT, KERNEL, INITRD],
        [*inputs, OVERLAY, KEY.with_suffix(".pub").read_text(), *debian.sources()],
    )


def build() -> Product:
    need(*NEEDS)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    if not KEY.exists():
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "wafer-lab", "-f", KEY])
    CONFIGURATION.write_text(vmx.debian12())
    recipe = product()
    if recipe.fresh():
        say("Debian guest: nothing changed")
        return recipe
    recipe.forget()
    tree = CACHE / "guest-tree"
    with timed("Debian guest: installing packages with mmdebstrap"):
        debian.install(tree, PACKAGES, CACHE / "guest.log", _hooks())
    try:
        with timed("Debian guest: making its disk"):
            for source, target in [("boot/vmlinuz-cloud", KERNEL), ("boot/initrd-cloud", INITRD), ("etc/ssh/ssh_host_ed25519_key.pub", HOST_KEY)]:
                shutil.copyfile(tree / source, target)
            disk.make_bootable(EXTENT, tree, DISK_SIZE, "guest")
            disk.check_ext4(EXTENT, disk.FIRST_PARTITION)
            DISK.write_text(disk.vmdk_descriptor(EXTENT.name, DISK_SIZE, int(recipe.fingerprint[:8], 16)))
    finally:
        remove_tree(tree)
    recipe.done()
    say(f"Debian guest: disk {sparse_size(EXTENT)}, kernel {KERNEL.stat().st_size} bytes, initrd {INITRD.stat().st_size} bytes")
    return recipe


def _hooks() -> list[str]:
    """Hooks of mmdebstrap: early files before the kernel is installed (it makes its initramfs then), the others at the end."""
    early, files = (_unpack(OVERLAY / part) for part in ("early", "files"))
    key = shlex.quote(str(KEY.with_suffix(".pub")))
    return [
        "--skip=cleanup/reproducible",  # it would empty the machine id again
        f"--essential-hook={early}",
        f"--customize-hook={files}",
        f'--customize-hook=install -D -m 600 {key} "$1/root/.ssh/authorized_keys"',
        f'--customize-hook={shlex.quote(str(OVERLAY / "configure"))} "$1"',
    ]


def _unpack(folder: Path) -> str:
    """Copies an overlay with root as owner and plain modes, whatever the checkout's umask was, and through merged-/usr links."""
    source = shlex.quote(str(folder))
    return f'tar --owner=0 --group=0 --mode=u=rwX,go=rX -C {source} -c . | tar -C "$1" -x --keep-directory-symlink'
