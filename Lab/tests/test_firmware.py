"""Unmodified systems start through our machine's firmware, from every controller, and reach the network by every card."""

import re

import pytest

from Lab.debian_guest import complaints, guest, log_in
from Lab.host import Host
from Lab.session import machine, vms_flavour
from Lab.vm import DEBIAN, VirtualMachine

pytestmark = pytest.mark.slow

DISK = f"{DEBIAN}/debian12.vmdk"
HOST = "10.0.2.100"

# Keys of the disk, and how Linux calls it and its driver.
CONTROLLERS = {
    "virtio": ({"scsi0.present": "TRUE", "scsi0.virtualDev": "wafer-virtio", "scsi0:0.present": "TRUE", "scsi0:0.fileName": DISK}, "vda"),
    "nvme": ({"nvme0.present": "TRUE", "nvme0:0.present": "TRUE", "nvme0:0.fileName": DISK}, "nvme0n1"),
    **{
        name: ({"scsi0.present": "TRUE", "scsi0.virtualDev": kind, "scsi0:0.present": "TRUE", "scsi0:0.fileName": DISK}, "sda")
        for name, kind in [("pvscsi", "pvscsi"), ("lsilogic", "lsilogic"), ("lsisas", "lsisas1068"), ("virtioscsi", "wafer-virtio-scsi")]
    },
    "sata": ({"sata0.present": "TRUE", "sata0:0.present": "TRUE", "sata0:0.fileName": DISK}, "sda"),
}
# The card's driver in Linux.
CARDS = {"wafer-virtio": "virtio_net", "vmxnet3": "vmxnet3", "e1000": "e1000", "e1000e": "e1000e"}

MACHINES = [
    ("bios", "virtio", "wafer-virtio"), ("efi", "virtio", "wafer-virtio"),
    ("bios", "nvme", "vmxnet3"), ("efi", "nvme", "e1000e"),
    ("bios", "sata", "e1000"), ("efi", "sata", "vmxnet3"),
    # OVMF has no drivers for the SCSI controllers of other makes.
    ("bios", "pvscsi", "vmxnet3"), ("bios", "lsilogic", "e1000"), ("bios", "lsisas", "vmxnet3"),
    ("bios", "virtioscsi", "wafer-virtio"), ("efi", "virtioscsi", "wafer-virtio"),
]


@pytest.fixture(scope="module")
def server():
    with Host("firmware", machine(), vms_flavour()) as host:
        yield host


@pytest.fixture(scope="module", params=MACHINES, ids="-".join)
def debian(server, request):
    """Debian as it is on its disk: firmware, GRUB, the kernel for all hardware."""
    firmware, controller, card = request.param
    vm = VirtualMachine.make(server, "-".join(request.param), firmware=firmware, settings={
        "memsize": 512, "numvcpus": 2, "svga.present": "TRUE", **CONTROLLERS[controller][0],
        "ethernet0.present": "TRUE", "ethernet0.virtualDev": card, "ethernet0.networkName": "VM Network",
        "ethernet0.addressType": "static", "ethernet0.address": "00:50:56:00:00:10"})
    vm.firmware, vm.controller, vm.card = request.param
    with vm.start():
        yield log_in(vm)
        if vm.is_running:
            vm.order("shutdown")
            assert vm.wait_end(120) == 0


def test_debian_starts_from_its_disk(debian):
    assert re.fullmatch(r"[\d.]+-\d+-amd64\s*", guest(debian, "uname -r"))
    is_efi = guest(debian, "test -d /sys/firmware/efi && echo yes || echo no").strip() == "yes"
    assert is_efi == (debian.firmware == "efi")
    assert guest(debian, "nproc").strip() == "2"
    disk = CONTROLLERS[debian.controller][1]
    assert guest(debian, "findmnt -n -o SOURCE /").strip().startswith(f"/dev/{disk}")
    assert complaints(debian) == ""


def test_its_disk_keeps_what_is_written(debian):
    job = "fio --name=verify --filename=/root/fio.data --size=16M --rw=randwrite --bs=4k --ioengine=libaio --iodepth=16 --direct=1 --verify=crc32c"
    assert "err= 0" in guest(debian, f"{job} --fsync=64; rm /root/fio.data", 300)


def test_its_card_reaches_the_host(debian):
    assert guest(debian, "basename $(readlink /sys/class/net/eth0/device/driver)").strip() == CARDS[debian.card]
    guest(debian, f"for i in $(seq 60); do ping -c 1 -w 2 {HOST} >/dev/null && break; sleep 1; done; ping -c 1 -w 2 {HOST}")
    guest(debian, f"ping -c 20 -i 0.05 -s 1400 -w 30 {HOST}")


def test_the_firmware_describes_the_machine(debian):
    assert "Wafer Virtual Machine" in guest(debian, "dmidecode -s system-product-name")
    assert "SMBIOS" in guest(debian, "dmidecode | head -5")
    tables = guest(debian, "ls /sys/firmware/acpi/tables").split()
    assert {"APIC", "DSDT", "FACP", "MCFG"} <= set(tables)


def test_keyboard_screen_and_tablet_have_drivers(debian):
    devices = guest(debian, "cat /proc/bus/input/devices")
    assert "AT Translated Set 2 keyboard" in devices
    assert "USB Tablet" in devices
    assert guest(debian, "cat /proc/fb").strip()
