"""The bench host: the peers' userland on a disk, run beside Wafer on the same kernel."""

import threading

import pytest

from Lab import session
from Lab.host import Host

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def host():
    with Host("test-bench", session.machine(), session.bench_flavour()) as host:
        yield host


def test_its_programs_run_on_the_hosts_devices(host):
    assert "version 7." in host.run(["qemu-system-x86_64", "--version"], root="/bench").check().text
    assert host.run(["sh", "-c", "test -c /dev/kvm && test -d /proc/1 && ls /vms/vms"], root="/bench").text.split() == [
        "debian12", "mini"]
    assert host.run(["wafer", "--version"], root="/bench").text.startswith("wafer ")


def test_its_mounts_end_with_the_program(host):
    before = host.read_file("/proc/mounts")
    host.run(["true"], root="/bench").check()
    assert host.read_file("/proc/mounts") == before


def test_a_guest_of_the_peer_boots_through_nested_virtualisation(host):
    machine = host.popen(
        ["qemu-system-x86_64", "-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio", "-accel", "kvm", "-cpu",
         "host", "-machine", "q35", "-m", "256", "-kernel", "/vms/vms/mini/vmlinuz", "-initrd", "/vms/vms/mini/initrd.img",
         "-append", "console=ttyS0 quiet wafer.net=off wafer.end=poweroff"], root="/bench")
    machine.expect("GUEST-INIT-OK", 180)
    assert machine.wait(60) == 0


def test_unix_sockets_are_relayed_both_ways(host):
    with host.popen(["socat", "UNIX-LISTEN:/tmp/echo.sock,fork", "EXEC:cat"], root="/bench"):
        host.wait_for_path("/tmp/echo.sock", 30)
        data = bytes(range(256)) * 4000
        with host.connect_unix("/tmp/echo.sock") as stream:
            stream.settimeout(60)
            # In a thread: the relay holds less than all of it.
            threading.Thread(target=lambda: (stream.sendall(data), stream.shutdown(1)), daemon=True).start()
            received = b""
            while piece := stream.recv(65_536):
                received += piece
            assert received == data
