"""PID 1: drivers, disks, services, and ending in order."""

import re
import subprocess

import pytest

from Lab import busybox
from Lab.host import Flavour, Host
from Lab.images.initramfs import Archive
from Lab.qemu import Disk, Machine

pytestmark = pytest.mark.slow


def disk(folder, serial: str, label: str, *options: str) -> Disk:
    path = folder / f"{serial}.img"
    with path.open("wb") as stream:
        stream.truncate(64 << 20)
    subprocess.run(["/sbin/mkfs.ext4", "-q", "-L", label, *options, path], check=True)
    return Disk(path, serial)


def tools() -> Flavour:
    """Busybox as /bin/busybox from the start."""
    archive = Archive()
    archive.file("bin/busybox", busybox.get().read_bytes(), 0o755)
    return Flavour("tools", archives=[archive.finish()])


def test_data_disks_are_found_by_name_and_are_clean_after_power_off(tmp_path):
    disks = [disk(tmp_path, "second", "beta"), disk(tmp_path, "first", "alpha")]
    words = [
        "wafer.mount=LABEL=alpha:/data/a", "wafer.mount=SERIAL=second:/data/b:ext4:ro,noload",
        "wafer.mount=SERIAL=missing:/data/c", "wafer.mount=nonsense"]
    with Host("test-disks", Machine(1, 512, disks), append=words) as host:
        host.put(b"kept", "/data/a/file")
        with pytest.raises(OSError, match="Read-only"):
            host.put(b"no", "/data/b/file")
        said = host.serial_text()
        assert "wafer.mount=SERIAL=missing:/data/c: there is no such disk" in said
        assert "wafer.mount=nonsense is not DISK:DIRECTORY" in said
    state = subprocess.run(["/sbin/dumpe2fs", "-h", disks[1].path], capture_output=True, text=True, check=True).stdout
    assert re.search(r"Filesystem state:\s+clean", state)
    assert "needs_recovery" not in state
    with Host("test-disks", Machine(1, 512, disks), append=words[:1]) as host:
        assert host.get("/data/a/file") == b"kept"


def test_services_are_started_again_after_a_failure_and_left_alone_after_success():
    words = [
        '"wafer.run=/bin/busybox sh -c exit${IFS}3"', '"wafer.run=/bin/busybox true"', "wafer.hostname=lab7",
        "wafer.run=/no/such"]
    with Host("test-services", Machine(1, 512), tools(), words) as host:
        host.wait_for(lambda: host.serial_text().count("ended with status 3; starting it again") >= 2, 30)
        said = host.serial_text()
        assert said.count("/bin/busybox true is done") == 1
        assert "start /no/such: No such file or directory" in said
        assert "lab7 is up" in said
        assert host.read_file("/proc/sys/kernel/hostname") == "lab7\n"


def test_a_device_plugged_in_gets_its_driver():
    # Q35's root bus takes no plugging; a root port does.
    machine = Machine(1, 512, extra=["-device", "pcie-root-port,id=port1,chassis=1"])
    with Host("test-hotplug", machine) as host:
        assert "e1000e" not in host.read_file("/proc/modules")
        host.monitor().command("device_add", driver="e1000e", id="plugged", bus="port1")
        host.wait_for(lambda: "e1000e" in host.read_file("/proc/modules"), 30, "the driver of the plugged adapter")
        # The network agent names it.
        host.wait_for(lambda: "vmnic1" in host.entries("/sys/class/net"), 30, "the plugged adapter")


def test_the_kernel_gets_modules_it_asks_for_by_itself():
    with Host("test-modprobe", Machine(1, 512), tools()) as host:
        assert "squashfs" not in host.read_file("/proc/filesystems")
        # Mounting makes the kernel call modprobe for fs-squashfs; that there is nothing to mount does not matter.
        host.run(["/bin/busybox", "mount", "-t", "squashfs", "/dev/null", "/tmp"])
        assert "squashfs" in host.read_file("/proc/filesystems")


def test_orphans_are_reaped_and_everything_gets_its_chance_to_end(tmp_path):
    data = disk(tmp_path, "data", "data")
    host = Host("test-end", Machine(1, 512, [data]), tools(), ["wafer.mount=SERIAL=data:/data"]).start()
    try:
        script = "trap 'sleep 0.3; echo saved >/data/saved; exit' TERM; echo ready; while :; do sleep 0.05; done"
        host.start_detached(["/bin/busybox", "sh", "-c", script], output="/data/log")
        host.run(["/bin/busybox", "sh", "-c", "for i in 1 2 3 4 5; do (sleep 0.1 &) ; done"]).check()
        host.wait_for(lambda: host.get("/data/log") == b"ready\n")
        host.wait_for(lambda: not any(one.state == "Z" for one in host.processes()), 20)
        host.run(["/bin/busybox", "kill", "-TERM", "1"])
        host.wait_off()
    finally:
        host.kill()
    assert "reboot: Power down" in host.serial_text()
    with Host("test-end", Machine(1, 512, [data]), append=["wafer.mount=SERIAL=data:/data"]) as host:
        assert host.get("/data/saved") == b"saved\n"


def test_a_process_that_does_not_want_to_end_is_killed_in_the_end():
    host = Host("test-stubborn", Machine(1, 512), tools()).start()
    try:
        host.start_detached(["/bin/busybox", "sh", "-c", "trap '' TERM; while :; do sleep 1; done"])
        host.shutdown()
    finally:
        host.kill()
    assert host.qemu.returncode == 0


def test_control_alt_delete_restarts_in_order():
    host = Host("test-keys", Machine(1, 512)).start()
    try:
        keys = [{"type": "qcode", "data": name} for name in ("ctrl", "alt", "delete")]
        host.monitor().command("send-key", keys=keys)
        host.wait_off()
    finally:
        host.kill()
    assert "wafer: restarting" in host.serial_text()


def test_another_userland_takes_over_on_the_same_kernel(tmp_path):
    tree = tmp_path / "tree"
    (tree / "sbin").mkdir(parents=True)
    (tree / "sbin" / "busybox").write_bytes(busybox.get().read_bytes())
    (tree / "sbin" / "busybox").chmod(0o755)
    (tree / "sbin" / "init").write_text(
        "#!/sbin/busybox sh\necho OTHER-INIT $$ $(/sbin/busybox uname -r) $(/sbin/busybox ls /)\n/sbin/busybox poweroff -f\n")
    (tree / "sbin" / "init").chmod(0o755)
    root = disk(tmp_path, "root", "other", "-d", str(tree))
    host = Host("test-other", Machine(1, 512, [root]), Flavour("other", ["wafer.root=LABEL=other"]))
    try:
        host.power_on()
        host.wait_off(120)
    finally:
        host.kill()
    assert re.search(r"OTHER-INIT 1 6\.\d+\.\d+-\d+-amd64 .*lost\+found.*sbin", host.serial_text())
