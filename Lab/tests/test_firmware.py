"""Unmodified systems start through our machine's firmware, BIOS and UEFI."""

import re

import pytest

from Lab.debian_guest import FILE, complaints, guest, log_in, set_keys
from Lab.host import Host
from Lab.session import machine, vms_flavour
from Lab.vm import DEBIAN, VirtualMachine

pytestmark = pytest.mark.slow

FIRMWARE = ["bios", "efi"]


@pytest.fixture(scope="module")
def server():
    with Host("firmware", machine(), vms_flavour()) as host:
        yield host


@pytest.fixture(scope="module", params=FIRMWARE)
def debian(server, request):
    """Debian as it is on its disk: firmware, GRUB, the kernel for all hardware."""
    set_keys(server, {"firmware": request.param, "wafer.kernel": "", "wafer.initrd": "", "wafer.commandLine": "", "numvcpus": 2})
    lines = [line for line in server.read_file(FILE).splitlines() if not line.startswith(("wafer.kernel", "wafer.initrd", "wafer.commandLine"))]
    server.put("\n".join(lines) + "\n", FILE)
    vm = log_in(VirtualMachine(server, FILE).start())
    vm.firmware = request.param
    yield vm
    if vm.is_running:
        vm.order("shutdown")
        assert vm.wait_end(120) == 0


def test_debian_starts_from_its_disk(debian):
    assert guest(debian, "uname -r").strip().endswith("-amd64")
    assert "cloud" not in guest(debian, "uname -r")
    is_efi = guest(debian, "test -d /sys/firmware/efi && echo yes || echo no").strip() == "yes"
    assert is_efi == (debian.firmware == "efi")
    assert guest(debian, "nproc").strip() == "2"
    assert complaints(debian) == ""
