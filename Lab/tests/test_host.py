"""The simulated server boots Wafer, does what it is told over the lab channel, and ends cleanly."""

import signal

import pytest

from Lab.host import Host
from Lab.qemu import Machine


def test_a_host_can_run_virtual_machines(host):
    assert "kvm" in host.entries("/dev")
    # The network agent starts beside everything else.
    host.wait_for(lambda: "vSwitch0" in host.entries("/sys/class/net"), 30, "the virtual switch")


def test_wafer_says_its_version(host):
    result = host.run(["wafer", "--version"])
    assert result.status == 0
    assert result.text.startswith("wafer ")


def test_an_unknown_program_is_refused(host):
    result = host.run(["wafer", "nonsense"])
    assert result.status == 64
    assert b"no command nonsense" in result.errors


def test_a_file_comes_back_as_it_was_put(host):
    data = bytes(range(256)) * 8192
    host.put(data, "/tmp/file", 0o600)
    assert host.get("/tmp/file") == data
    assert host.entries("/tmp")["file"] == ("f", len(data), 0o600)
    host.remove("/tmp/file")
    assert host.entries("/tmp") == {}


def test_an_error_of_the_host_has_its_number_and_names_the_file(host):
    with pytest.raises(FileNotFoundError, match="/no/such/file"):
        host.get("/no/such/file")


def test_it_powers_off_cleanly():
    host = Host("test-power", Machine(cpus=1, memory_mib=512)).start()
    host.shutdown()
    assert host.qemu.returncode == 0
    assert "reboot: Power down" in host.serial_text()
    assert "warning" not in host.serial_text()
