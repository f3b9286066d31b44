"""Initial RAM file systems: what the simulated server boots.

The kernel unpacks several archives one after another (Documentation/driver-api/early-userspace/buffer-format.rst). The one with
the modules is made once for each kernel and set of modules; the one with the `wafer` binary is made anew for each boot.
"""

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from .images.initramfs import Archive
from .kernel import Kernel
from .paths import LAB
from .progress import exclusive, step

# What a simulated server may meet; what these need comes along.
MODULES = """
kvm kvm-amd kvm-intel irqbypass
tun tap vhost vhost_net vhost_vsock macvtap bridge 8021q bonding veth
virtio_pci virtio_blk virtio_net virtio_scsi virtio_console virtio_balloon virtio-rng
vmw_vsock_virtio_transport
nvme ahci sd_mod sr_mod e1000 e1000e vmxnet3 vmw_pvscsi mptspi
xhci_pci ehci_pci uhci_hcd usb_storage uas usbhid hid_generic
ext4 vfat nls_cp437 nls_ascii nls_utf8 isofs loop overlay squashfs
9p 9pnet_virtio dm_mod dm_thin_pool dm_snapshot
nbd iscsi_tcp nfsv3 nfsv4
crc32c_intel crc32c_generic ghash_clmulni_intel aesni_intel
i2c_i801 i2c_piix4 i6300esb ipmi_si ipmi_devintf button psmouse fuse
""".split()

# Loaded at boot although no device asks for them.
ALWAYS = ["tun", "tap", "vhost_net", "vhost_vsock", "bridge"]


def base(kernel: Kernel, modules: list[str] = MODULES) -> Path:
    """The archive with kernel modules, compressed."""
    with exclusive():
        return _base(kernel, modules)


def _base(kernel: Kernel, modules: list[str]) -> Path:
    key = hashlib.sha256(" ".join([kernel.release, *modules, *ALWAYS, "1"]).encode()).hexdigest()[:12]
    target = LAB / "initramfs" / f"{kernel.release}-{key}.cpio.zst"
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with step(f"packing {len(modules)} kernel modules"), tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        tree = Path(scratch)
        _copy_modules(kernel, modules, tree)
        archive = Archive()
        for file in sorted(tree.rglob("*")):
            if file.is_file():
                archive.file(str(file.relative_to(tree)), file.read_bytes())
        for folder in ["dev", "proc", "sys", "run", "tmp", "root"]:
            archive.folder(folder)
        archive.file("etc/modules", "".join(f"{name}\n" for name in ALWAYS).encode())
        plain = tree / "plain.cpio"
        plain.write_bytes(archive.finish())
        packed = tree / "packed"
        subprocess.run(["zstd", "-q", "-3", "-T0", plain, "-o", packed], check=True)
        with packed.open("ab") as stream:
            stream.write(b"\0" * (-stream.tell() % 4))
        packed.rename(target)
    return target


def _copy_modules(kernel: Kernel, modules: list[str], tree: Path) -> None:
    """Copies modules and what they need, and makes an index of just those."""
    needs: dict[str, list[str]] = {}
    for line in (kernel.modules / "modules.dep").read_text().splitlines():
        path, _, rest = line.partition(":")
        needs[path] = rest.split()
    by_name = {Path(path).stem.replace("-", "_"): path for path in needs}
    built_in = {Path(line).stem.replace("-", "_") for line in (kernel.modules / "modules.builtin").read_text().split()}
    target = tree / "lib" / "modules" / kernel.release
    wanted: set[str] = set()
    for name in modules:
        path = by_name.get(name.replace("-", "_"))
        if path:
            wanted |= {path, *needs[path]}
        elif name.replace("-", "_") not in built_in:
            raise RuntimeError(f"kernel {kernel.release} has no module {name}")
    for path in wanted:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(kernel.modules / path, target / path)
    for name in ["modules.order", "modules.builtin", "modules.builtin.modinfo"]:
        shutil.copy(kernel.modules / name, target / name)
    subprocess.run(["/sbin/depmod", "-b", tree, kernel.release], check=True)
    # Only the text forms are read.
    for file in target.glob("modules.*"):
        if file.name not in ("modules.dep", "modules.alias", "modules.builtin"):
            file.unlink()


# Firmware for guests: Debian's, and where the system image has it.
FIRMWARE = [
    "/usr/share/seabios/bios-256k.bin", "/usr/share/seabios/vgabios-stdvga.bin", "/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd",
    *(f"/usr/lib/ipxe/qemu/efi-{card}.rom" for card in ("virtio", "vmxnet3", "e1000", "e1000e"))]


def wafer(binary: Path) -> bytes:
    """The archive with the `wafer` binary under the names it is called by, and guests' firmware. Not compressed: emulation is slow."""
    archive = Archive()
    archive.file("bin/wafer", binary.read_bytes(), 0o755)
    for source in map(Path, FIRMWARE):
        archive.file(f"usr/share/wafer/firmware/{source.name}", source.read_bytes())
    archive.link("init", "bin/wafer")
    archive.link("sbin/modprobe", "/bin/wafer")
    return archive.finish()
