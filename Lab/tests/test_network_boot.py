"""Machines start from the network by every card: iPXE in the card's expansion ROM, through BIOS and through UEFI."""

import pytest

from Lab.host import Flavour, Host
from Lab.qemu import Machine
from Lab.vm import VMS, VirtualMachine

pytestmark = pytest.mark.slow

SCRIPT = """#!ipxe
echo WAFER-NETWORK-BOOT ${net0/mac} ${net0/ip} ${platform}
sleep 1
"""
ADDRESS = "00:50:56:00:00:21"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    files = tmp_path_factory.mktemp("tftp")
    (files / "boot.ipxe").write_text(SCRIPT)
    with Host("network-boot", Machine(2, 1024, boot_files=(files, "boot.ipxe")), Flavour("netboot")) as host:
        yield host


@pytest.mark.parametrize("firmware, card", [
    ("bios", "wafer-virtio"), ("bios", "vmxnet3"), ("bios", "e1000"), ("bios", "e1000e"), ("efi", "vmxnet3"), ("efi", "e1000e")])
def test_a_machine_without_a_disk_starts_from_the_network(server, firmware, card):
    vm = VirtualMachine.make(server, f"{firmware}-{card}", {
        "wafer.kernel": None, "wafer.initrd": None, "wafer.commandLine": None, "firmware": firmware, "svga.present": "FALSE",
        "ethernet0.present": "TRUE", "ethernet0.virtualDev": card, "ethernet0.networkName": "VM Network",
        "ethernet0.addressType": "static", "ethernet0.address": ADDRESS}, directory=f"/tmp/{firmware}-{card}")
    with vm.start():
        found = vm.console.expect(r"WAFER-NETWORK-BOOT (\S+) (10\.0\.2\.\d+) (\S+)\s", 180)
        assert found[1] == ADDRESS
        assert found[3] == {"bios": "pcbios", "efi": "efi"}[firmware]
