"""The image as it lies on flash: it boots on both firmwares from any bus, has nothing in it that does not belong, and falls back."""

import re
import subprocess
import uuid

import pytest

from Lab import busybox, paths
from Lab.host import Host
from Lab.medium import IMAGE, Image, Medium
from Lab.qemu import Machine

# Minutes, and `make image` first.
pytestmark = pytest.mark.slow

BUDGET = 32_000_000


def machine(firmware: str = "bios", memory_mib: int = 1024, **options) -> Machine:
    image = Image(**{key: options.pop(key) for key in ("bus", "keep", "lab", "path") if key in options})
    return Machine(cpus=2, memory_mib=memory_mib, boot=image, firmware=firmware, **options)


@pytest.fixture(scope="module")
def host():
    """One that boots the image from a USB stick under BIOS, with the lab channel."""
    with Host("test-image", machine()) as host:
        yield host


def test_the_image_is_within_its_budget():
    rows = [line.split("\t") for line in (paths.BUILD / "size.tsv").read_text().splitlines()]
    assert rows[0] == ["part", "raw bytes", "bytes on flash"]
    parts = {part: int(flash) for part, _, flash in rows[1:]}
    total = parts.pop("total")
    assert rows[-1][0] == "total" and total == sum(parts.values())
    assert total <= BUDGET


def test_only_wafer_can_be_executed_and_nothing_is_open_to_all(host):
    pending, found = ["/"], {}
    kernel_file_systems = {"/proc", "/sys", "/dev"}
    while pending:
        directory = pending.pop()
        for name, (kind, _, mode) in host.entries(directory).items():
            path = f"{directory.rstrip('/')}/{name}"
            found[path] = kind, mode
            if kind == "d" and path not in kernel_file_systems:
                pending.append(path)
    assert sum(path.endswith(".ko") for path in found) > 200
    assert {path for path, (kind, mode) in found.items() if kind == "f" and mode & 0o111} == {"/bin/wafer"}
    assert not {path for path, (kind, mode) in found.items() if kind in "fd" and mode & 0o6000}
    assert {path for path, (kind, mode) in found.items() if kind in "fd" and mode & 0o002} <= {"/tmp"}
    assert found["/tmp"] == ("d", 0o1777)
    assert not [path for path in found if re.search(r"/(sh|bash|dash|ash|busybox)$", path)]


def test_the_host_has_its_modules_firmware_terminals_and_key(host):
    release = host.read_file("/proc/sys/kernel/osrelease").strip()
    assert "kvm_amd" in host.read_file("/proc/modules")
    assert f"kernel/arch/x86/kvm/kvm.ko:" in host.read_file(f"/lib/modules/{release}/modules.dep")
    assert set(host.entries("/usr/share/wafer/firmware")) == {
        "bios-256k.bin", "vgabios-stdvga.bin", "OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"}
    assert host.get("/usr/share/wafer/firmware/bios-256k.bin")[-16:-15] == b"\xea"  # the jump at the reset vector
    assert "linux" in host.entries("/lib/terminfo/l")
    assert re.fullmatch(r"[0-9a-f]{64}\n", host.read_file("/etc/wafer/trusted.pub"))
    assert (paths.BUILD / "keys" / "development.pub").read_text() == host.read_file("/etc/wafer/trusted.pub")


def test_the_host_knows_which_bank_runs(host):
    words = host.read_file("/proc/cmdline").split()
    assert "wafer.bank=A" in words and "panic=10" in words
    identifier, = [word.removeprefix("wafer.disk=") for word in words if word.startswith("wafer.disk=")]
    # The EFI system partition's entry is the second of the table, which begins at the third sector.
    entry = host.medium.path.read_bytes()[1024 + 128:1024 + 256]
    assert uuid.UUID(bytes_le=entry[16:32]) == uuid.UUID(identifier)
    assert not [word for word in words if word.startswith(("wafer.trial", "wafer.fallback"))]


@pytest.mark.parametrize("firmware, bus", [("uefi", "usb"), ("bios", "virtio"), ("uefi", "ahci")])
def test_it_boots_as_the_product_it_is(firmware, bus):
    """Without the lab's words on the command line; so there is no way in, and the machine is powered off from outside."""
    host = Host(f"test-image-{firmware}-{bus}", machine(firmware, bus=bus, lab=False))
    try:
        host.power_on()
        host.wait_text("wafer is up", 240)
        said = host.serial_text()
        assert "lab channel" not in said
        assert "hardware virtualisation is on" in said
    finally:
        host.kill()


@pytest.mark.parametrize("firmware, size", [("bios", (80, 25)), ("uefi", (160, 50))])
def test_its_screen_can_be_read_and_its_keyboard_typed_on(firmware, size, tmp_path):
    with Host(f"test-image-screen-{firmware}", machine(firmware)) as host:
        screen = host.screen()
        host.put(busybox.get(), "/tmp/busybox", 0o755)
        # Cleared, then light cyan on blue in the third line.
        drawing = "\x1b[2J\x1b[3;5H\x1b[96;44mWafer ┌─┐ 0123 äß\x1b[0m\x1b[1;1H"
        host.run(["/tmp/busybox", "sh", "-c", "/tmp/busybox cat >/dev/tty1"], input=drawing.encode()).check()
        picture = screen.wait_for("Wafer ┌─┐ 0123 äß")
        assert (picture.columns, picture.rows) == size
        assert picture.find("Wafer") == (2, 4)
        cell = picture.cell(2, 4)
        assert cell.character == "W" and cell.background[2] > cell.background[0]
        assert cell.foreground[1] > cell.background[1]
        assert screen.screenshot(tmp_path / "screen.png").read_bytes().startswith(b"\x89PNG")
        # The terminal echoes what is typed, to whoever reads.
        host.start_detached(["/tmp/busybox", "sh", "-c", "exec /tmp/busybox cat </dev/tty1"])
        screen.type("Hello, World! 42")
        screen.wait_for("Hello, World! 42")


def test_a_trial_of_an_empty_bank_falls_back_at_once():
    host = Host("test-image-empty", machine())
    medium = Medium(IMAGE).copy(paths.LAB / "trial-empty.img")
    medium.set_environment(next="B", trial="3")
    host.machine.boot = Image(medium.path, keep=True)
    with host:
        words = host.read_file("/proc/cmdline").split()
        assert "wafer.bank=A" in words and "wafer.trial=1" not in words
    # What the loader could not start it does not try again.
    assert medium.environment["trial"] == "0"
    assert medium.environment["next"] == "B"


def test_a_trial_that_panics_is_tried_three_times_and_then_given_up(tmp_path):
    medium = Medium(IMAGE).copy(tmp_path / "wafer.img")
    medium.copy_partition("WAFER-A", "WAFER-B")
    # Not one byte of the root in memory is right, which the loader cannot see.
    offset, length = medium.places()["WAFER-A/initrd"]
    medium.write("WAFER-B", b"\0" * length, offset - medium.places()["WAFER-A"][0])
    medium.set_environment(next="B", trial="2")
    host = Host("test-image-panic", machine(path=medium.path, keep=True, restarts=True))
    with host:
        said = host.serial_text()
        assert said.count("Kernel panic") == 2
        assert "wafer.bank=A" in host.read_file("/proc/cmdline").split()
    assert medium.environment["trial"] == "0"


def test_a_trial_that_starts_is_told_so_and_counted(tmp_path):
    medium = Medium(IMAGE).copy(tmp_path / "wafer.img")
    medium.copy_partition("WAFER-A", "WAFER-B")
    medium.set_environment(next="B", trial="3")
    with Host("test-image-trial", machine(path=medium.path, keep=True)) as host:
        words = host.read_file("/proc/cmdline").split()
        assert "wafer.bank=B" in words and "wafer.trial=1" in words
    assert medium.environment["trial"] == "2"


def test_a_trial_with_healthy_agents_becomes_the_usual_bank(tmp_path):
    medium = Medium(IMAGE).copy(tmp_path / "wafer.img")
    medium.copy_partition("WAFER-A", "WAFER-B")
    medium.set_environment(next="B", trial="1")
    with Host("test-image-confirm", machine(path=medium.path, keep=True), append=["wafer.agents=1"]) as host:
        host.wait_for(
            lambda: re.search(r"^bank B: .*\(running, standard\)$", host.run(["wafer", "settings", "banks"]).text, re.M), 120,
            "the confirmation")
    assert medium.environment["bank"] == "B"
    assert medium.environment["attempts"] == "0"
    assert not medium.environment["next"] and not medium.environment["trial"]


def test_a_good_bank_that_never_comes_up_gives_way_to_the_other(tmp_path):
    medium = Medium(IMAGE).copy(tmp_path / "wafer.img")
    medium.copy_partition("WAFER-A", "WAFER-B")
    offset, length = medium.places()["WAFER-A/initrd"]
    medium.write("WAFER-A", b"\0" * length, offset - medium.places()["WAFER-A"][0])
    medium.set_environment(attempts="1")
    with Host("test-image-rotten", machine(path=medium.path, keep=True, restarts=True)) as host:
        words = host.read_file("/proc/cmdline").split()
        assert "wafer.bank=B" in words and "wafer.fallback=1" in words
        assert host.serial_text().count("Kernel panic") == 2


def test_a_key_at_boot_picks_the_other_bank(tmp_path):
    medium = Medium(IMAGE).copy(tmp_path / "wafer.img")
    medium.copy_partition("WAFER-A", "WAFER-B")
    host = Host("test-image-key", machine(path=medium.path, keep=True))
    try:
        host.power_on()
        host.wait_text("press A or B", 60)
        host.screen().press("b")
        host.open_channel()
        assert "wafer.bank=B" in host.read_file("/proc/cmdline").split()
        host.shutdown()
    finally:
        host.kill()
    assert "trial" not in medium.environment


def test_the_same_parts_make_the_same_image(tmp_path):
    """Under another clock, in another directory, with nothing left from an earlier build but the small packing."""
    arguments = [
        "--kernel", "build/lab/kernel/tree", "--modules", "Image/modules", "--wafer", "build/wafer", "--files", "Image/root",
        "--loader", "Image/grub.cfg", "--key", "build/keys/development", "--build", "test", "--quick"]
    images = []
    for name in ("one", "two"):
        work = tmp_path / name
        subprocess.run(
            [paths.BUILD / "wafer-image", "build", *arguments, "--output", tmp_path / f"{name}.img", "--work", work, "--sizes",
             tmp_path / f"{name}.tsv"], cwd=paths.ROOT, check=True, stdout=subprocess.DEVNULL)
        images.append((tmp_path / f"{name}.img").read_bytes())
    assert images[0] == images[1]
