"""QEMU as the hardware: what it is started with, and talking to its monitor."""

import json
import shutil
import socket
from dataclasses import dataclass, field
from pathlib import Path

from .medium import Image

# UEFI firmware and its variables as they leave the factory (Debian's package ovmf).
UEFI = Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
UEFI_VARIABLES = Path("/usr/share/OVMF/OVMF_VARS_4M.fd")
# The block device that is the boot medium, as QEMU's monitor calls it.
BOOT = "boot"


@dataclass
class Disk:
    """A disk of the simulated server."""

    path: Path
    serial: str
    read_only: bool = False
    format: str = "raw"
    # Two hosts with one disk write it through; nobody may lock it.
    shared: bool = False
    # What is written is forgotten with the host.
    temporary: bool = False


@dataclass
class Machine:
    """The simulated server's hardware."""

    cpus: int = 2
    memory_mib: int = 2048
    disks: list[Disk] = field(default_factory=list)
    # TCP port here -> address and port on the server's network. Keys below one stand for any free port.
    forwards: dict[int, tuple[str, int]] = field(default_factory=dict)
    # Whether there is a network adapter.
    network: bool = True
    # A directory that the first adapter's network serves by TFTP, and the file in it that its DHCP server names for booting.
    boot_files: tuple[Path, str] | None = None
    # More network adapters, as values of -netdev without the id.
    links: list[str] = field(default_factory=list)
    # Whether the processor can run guests.
    virtualisation: bool = True
    graphics: bool = False
    # What the server boots as if from flash; without it, it is handed a kernel.
    boot: Image | None = None
    # bios or uefi; for servers that boot a medium.
    firmware: str = "bios"
    # A restart is one; else it ends the host.
    restarts: bool = False
    extra: list[str] = field(default_factory=list)


@dataclass
class Kernel:
    """A kernel that the server is handed."""

    image: Path
    initrd: Path
    append: str

    def arguments(self) -> list[str]:
        return ["-kernel", str(self.image), "-initrd", str(self.initrd), "-append", self.append]


@dataclass
class Flash:
    """A boot medium and the firmware that boots it."""

    medium: Path
    bus: str
    firmware: str
    # Where every write is recorded.
    log: Path | None = None

    def arguments(self, directory: Path) -> list[str]:
        words = []
        if self.firmware == "uefi":
            variables = directory / "uefi-variables.fd"
            if not variables.exists():
                shutil.copy(UEFI_VARIABLES, variables)
            words += ["-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={UEFI}"]
            words += ["-drive", f"if=pflash,unit=1,format=raw,file={variables}"]
        node = "medium" if self.log else BOOT
        words += ["-blockdev", f"driver=raw,node-name={node},discard=unmap,file.driver=file,file.filename={self.medium}"]
        if self.log:
            words += ["-blockdev", f"driver=file,node-name=log,filename={self.log}"]
            words += ["-blockdev", f"driver=blklogwrites,node-name={BOOT},file={node},log=log,log-super-update-interval=1"]
        device = {
            "usb": "usb-storage,bus=usb.0,removable=on", "virtio": "virtio-blk-pci,serial=boot", "ahci": "ide-hd,bus=ahci.0"}
        if self.bus == "ahci":
            words += ["-device", "ahci,id=ahci"]
        return words + ["-device", f"{device[self.bus]},drive={BOOT},id=boot,bootindex=0"]


def arguments(
    machine: Machine, acceleration: str, start: Kernel | Flash, directory: Path, sockets: Path
) -> list[str]:
    """QEMU's command line."""
    kvm = acceleration == "kvm"
    switch = "+" if machine.virtualisation else "-"
    processor = ("host" if machine.virtualisation else "host,-svm,-vmx") if kvm else f"EPYC,{switch}svm,{switch}npt"
    words = [
        "qemu-system-x86_64", "-name", f"wafer-lab-{directory.name}", "-nodefaults", "-no-user-config",
        "-display", "none", "-machine", "q35,sata=off",
        "-accel", "kvm" if kvm else "tcg,thread=multi", "-cpu", processor,
        "-smp", str(machine.cpus), "-m", str(machine.memory_mib),
        "-chardev", f"socket,id=serial,path={sockets}/serial,server=on,wait=off,logfile={directory}/serial.log",
        "-serial", "chardev:serial",
        "-qmp", f"unix:{sockets}/qmp,server=on,wait=off",
        "-device", "virtio-serial-pci",
        "-chardev", f"socket,id=lab,path={sockets}/port,server=on,wait=off",
        "-device", "virtserialport,chardev=lab,name=org.wafer.lab",
        "-object", "rng-random,id=rng,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng",
    ]
    if not machine.restarts:
        words += ["-no-reboot"]
    if isinstance(start, Flash):
        # A server as it stands in a rack has a screen and USB.
        words += ["-vga", "std", "-device", "qemu-xhci,id=usb", *start.arguments(directory)]
    else:
        words += start.arguments()
    forwards = "".join(f",hostfwd=tcp:127.0.0.1:{here}-{address}:{port}" for here, (address, port) in machine.forwards.items())
    files = f",tftp={machine.boot_files[0]},bootfile={machine.boot_files[1]}" if machine.boot_files else ""
    links = ["user" + forwards + files] if machine.network else []
    for number, link in enumerate([*links, *machine.links]):
        words += ["-netdev", f"{link},id=net{number}"]
        words += ["-device", f"virtio-net-pci,netdev=net{number},mac=52:54:00:57:00:{number:02x}"]
    for number, disk in enumerate(machine.disks):
        options = ",".join([
            f"driver={disk.format}", f"node-name=disk{number}", f"read-only={'on' if disk.read_only else 'off'}",
            "discard=unmap", "file.driver=file", f"file.filename={disk.path}",
            f"file.locking={'off' if disk.shared else 'auto'}", f"cache.direct={'on' if disk.shared else 'off'}"])
        words += ["-blockdev", options]
        share = ",share-rw=on" if disk.shared else ""
        words += ["-device", f"virtio-blk-pci,drive=disk{number},serial={disk.serial}{share}"]
    if machine.graphics and isinstance(start, Kernel):
        words += ["-vga", "std"]
    return words + machine.extra


@dataclass(frozen=True)
class Written:
    """What a server wrote to a disk since it was powered on."""

    bytes: int
    writes: int
    # In bytes.
    discards: int


class Monitor:
    """QEMU's machine protocol (QMP)."""

    def __init__(self, path: Path) -> None:
        self._stream = socket.socket(socket.AF_UNIX)
        self._stream.settimeout(30)
        self._stream.connect(str(path))
        self._lines = self._stream.makefile("rb")
        self._lines.readline()  # its greeting
        self.command("qmp_capabilities")

    def command(self, name: str, /, **values):
        """Carries out a command and returns what it gives."""
        request = {"execute": name, "arguments": {key.replace("_", "-"): value for key, value in values.items()}}
        self._stream.sendall(json.dumps(request).encode() + b"\n")
        while line := self._lines.readline():
            answer = json.loads(line)
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise RuntimeError(f"QEMU refuses {name}: {answer['error']['desc']}")
        raise ConnectionError("QEMU ended")

    def written(self, node: str = BOOT) -> Written:
        """What was written to a disk until now."""
        found, = [entry["stats"] for entry in self.command("query-blockstats") if entry.get("node-name") == node]
        return Written(found["wr_bytes"], found["wr_operations"], found["unmap_bytes"])

    def close(self) -> None:
        self._lines.close()
        self._stream.close()
