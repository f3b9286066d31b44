"""Machines start from the network by every card: iPXE in the card's expansion ROM, through BIOS and through UEFI."""

import shutil

import pytest

from Lab import kernel, paths
from Lab.host import Flavour, Host
from Lab.qemu import Machine
from Lab.vm import VMS, VirtualMachine

pytestmark = pytest.mark.slow

SCRIPT = """#!ipxe
echo WAFER-NETWORK-BOOT ${net0/mac} ${net0/ip} ${platform}
chain ${net0/mac:hexhyp}.ipxe ||
sleep 1
"""
ADDRESS = "00:50:56:00:00:21"

# Debian's memtest86+: a program that needs nothing of a system, for either firmware. Never installed: that would put it into the boot menu.
MEMTEST = paths.LAB / "memtest" / "boot" / "memtest86+x64.bin"
MEMTEST_ADDRESS = "00:50:56:00:00:22"
MEMTEST_SCRIPT = """#!ipxe
kernel memtest.bin console=ttyS0,115200
boot
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    files = tmp_path_factory.mktemp("tftp")
    (files / "boot.ipxe").write_text(SCRIPT)
    (files / f"{MEMTEST_ADDRESS.replace(':', '-')}.ipxe").write_text(MEMTEST_SCRIPT)
    if not MEMTEST.exists():
        kernel.unpack("memtest86+", paths.LAB / "memtest")
    shutil.copy(MEMTEST, files / "memtest.bin")
    with Host("network-boot", Machine(2, 1024, boot_files=(files, "boot.ipxe")), Flavour("netboot")) as host:
        yield host


def machine(server: Host, firmware: str, card: str, address: str, name: str) -> VirtualMachine:
    return VirtualMachine.make(server, name, firmware=firmware, directory=f"/tmp/{name}", settings={
        "svga.present": "FALSE",
        "ethernet0.present": "TRUE", "ethernet0.virtualDev": card, "ethernet0.networkName": "VM Network",
        "ethernet0.addressType": "static", "ethernet0.address": address})


@pytest.mark.parametrize("firmware, card", [
    ("bios", "wafer-virtio"), ("bios", "vmxnet3"), ("bios", "e1000"), ("bios", "e1000e"), ("efi", "vmxnet3"), ("efi", "e1000e")])
def test_a_machine_without_a_disk_starts_from_the_network(server, firmware, card):
    vm = machine(server, firmware, card, ADDRESS, f"{firmware}-{card}")
    with vm.start():
        found = vm.console.expect(r"WAFER-NETWORK-BOOT (\S+) (10\.0\.2\.\d+) (\S+)\s", 180)
        assert found[1] == ADDRESS
        assert found[3] == {"bios": "pcbios", "efi": "efi"}[firmware]


@pytest.mark.parametrize("firmware", ["bios", "efi"])
def test_memtest_runs(server, firmware):
    vm = machine(server, firmware, "vmxnet3", MEMTEST_ADDRESS, f"memtest-{firmware}")
    with vm.start():
        vm.console.expect("Memtest86", 240)
        # It has begun to test; how far it is stands behind.
        vm.console.expect(r"#\d+ +\[", 120)
