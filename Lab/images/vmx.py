"""Sample `.vmx` files, in VMware's syntax and key names; what VMware has no key for stands under `wafer.`."""

from __future__ import annotations

# What a person needs who types `make run`: messages of the kernel are left out because every byte on an emulated serial port is an exit.
DEBIAN_COMMAND_LINE = "root=/dev/vda1 rw console=ttyS0 net.ifnames=0 quiet"
MINI_COMMAND_LINE = "console=ttyS0 quiet"


def _text(pairs: list[tuple[str, str]]) -> str:
    return "".join(f'{key} = "{value}"\n' for key, value in pairs)


def _machine(name: str, guest_os: str, memory: int, cpus: int) -> list[tuple[str, str]]:
    return [
        (".encoding", "UTF-8"),
        ("config.version", "8"),
        ("virtualHW.version", "19"),
        ("displayName", name),
        ("guestOS", guest_os),
        ("memsize", str(memory)),
        ("numvcpus", str(cpus)),
    ]


def _port(address: str) -> list[tuple[str, str]]:
    return [
        ("ethernet0.present", "TRUE"),
        ("ethernet0.virtualDev", "wafer-virtio"),
        ("ethernet0.networkName", "VM Network"),
        ("ethernet0.addressType", "static"),
        ("ethernet0.address", address),
    ]


def _serial() -> list[tuple[str, str]]:
    return [
        ("serial0.present", "TRUE"),
        ("serial0.fileType", "pipe"),
        ("serial0.fileName", "console.sock"),
    ]


def _boot(command_line: str) -> list[tuple[str, str]]:
    return [
        ("wafer.kernel", "vmlinuz"),
        ("wafer.initrd", "initrd.img"),
        ("wafer.commandLine", command_line),
    ]


def debian12() -> str:
    disk = [
        ("scsi0.present", "TRUE"),
        ("scsi0.virtualDev", "wafer-virtio"),
        ("scsi0:0.present", "TRUE"),
        ("scsi0:0.fileName", "debian12.vmdk"),
    ]
    return _text(
        _machine("debian12", "debian12-64", 512, 1) + disk + _port("00:50:56:00:00:10") + _serial() + _boot(DEBIAN_COMMAND_LINE)
    )


def mini() -> str:
    return _text(_machine("mini", "debian12-64", 256, 1) + _port("00:50:56:00:00:11") + _serial() + _boot(MINI_COMMAND_LINE))
