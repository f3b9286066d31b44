"""A host that runs writes nothing to its boot flash: idle, with guests, and when it refuses an update. Counted outside the host."""

import subprocess
import time
from pathlib import Path

import pytest

from Lab import answers, paths, session
from Lab.flash import BUNDLE, UPDATE, update, wait_confirmed
from Lab.host import Host
from Lab.images import data
from Lab.medium import ENVIRONMENT, IMAGE, Image, Medium
from Lab.vm import Console

# Minutes, and `make image` first. One test alone takes IDLE_S.
pytestmark = pytest.mark.slow

# So long an idle host is watched, in seconds.
IDLE_S = 600


@pytest.fixture(scope="module")
def idle():
    """A host as it is delivered, with the sample VMs on a data disk, that has confirmed its boot."""
    host = session.image_host("test-flash-idle")
    host.machine.boot = Image(record=True)
    with host:
        host.wait_text("Configure, view logs", 120)
        wait_confirmed(host)
        yield host


def power(host: Host, name: str) -> str:
    return answers.machines(host.run(["wafer", "host", "list"]).text).get(name, "")


def test_a_first_boot_saves_its_adapters_once_and_that_it_is_well(idle):
    """The network adapters' lasting names are settings, saved when an adapter is new; one sector says that this boot is well."""
    places = Medium.places()

    def part(event) -> str:
        return next(name for name in (ENVIRONMENT, "WAFER-STATE", "WAFER-ESP")
                    if places[name][0] <= event.offset and event.offset + event.length <= sum(places[name]))

    writes = [event for event in idle.recording.events() if event.length]
    # A save is two writes: settings, then their header.
    assert sorted(part(event) for event in writes) == sorted(["WAFER-STATE", "WAFER-STATE", ENVIRONMENT])
    assert idle.written().bytes == sum(event.length for event in writes)


def test_a_guest_that_starts_runs_and_stops_writes_nothing_to_the_flash(idle):
    before, events = idle.written(), len(idle.recording.events())
    idle.wait_for(lambda: power(idle, "mini"), 60, "the virtual machine mini")
    idle.run(["wafer", "host", "start", "mini"], timeout=180).check()
    console = Console(idle.connect_unix(f"/vms/{data.LABEL}/vms/mini/console.sock"))
    console.expect("GUEST-DEVICES", 300)
    idle.run(["wafer", "host", "reset", "mini"]).check()
    console.expect("GUEST-DEVICES", 300)
    idle.run(["wafer", "host", "stop", "mini"]).check()
    idle.wait_for(lambda: power(idle, "mini") == "powered off", 60, "the end of mini")
    assert idle.written() == before
    assert len([event for event in idle.recording.events()[events:] if event.length]) == 0


def flipped(place: int) -> bytes:
    bundle = bytearray(BUNDLE.read_bytes())
    bundle[place] ^= 0x01
    return bytes(bundle)


def strangers(directory: Path) -> bytes:
    """An update whose only fault is who signed it."""
    tool, key, output = paths.BUILD / "wafer-image", directory / "key", directory / "update.bin"
    subprocess.run([tool, "keygen", key], check=True)
    parts = paths.BUILD / "image"
    subprocess.run(
        [tool, "update", "--vmlinuz", parts / "vmlinuz", "--initrd", parts / "initrd", "--version", "9.9.9", "--build", "stranger",
         "--key", key, "--output", output], check=True)
    return output.read_bytes()


UNSIGNED = "the update is damaged, or not signed with a key that this host trusts"


@pytest.mark.parametrize("make, text", [
    pytest.param(lambda _: flipped(24 + 40), UNSIGNED, id="manifest"),
    pytest.param(lambda _: flipped(24 + 300), "vmlinuz in the update is damaged", id="the first part"),
    pytest.param(lambda _: flipped(-1), "initrd in the update is damaged", id="the last byte"),
    pytest.param(strangers, UNSIGNED, id="a stranger's signature"),
    pytest.param(lambda _: BUNDLE.read_bytes()[:-4096], "the update is not as long as its manifest says", id="truncated"),
    pytest.param(lambda _: BUNDLE.read_bytes()[:100], "the update ends too early", id="truncated in the manifest"),
    pytest.param(lambda _: BUNDLE.read_bytes() + b"\0", "the update is not as long as its manifest says", id="too long"),
    pytest.param(lambda _: b"", "the update ends too early", id="empty"),
    pytest.param(lambda _: b"wafer-backup 1\nsha256 " + b"0" * 64 + b"\n", "this is no update of Wafer", id="a backup"),
    pytest.param(lambda _: IMAGE.read_bytes()[:8 << 20], "this is no update of Wafer", id="an image"),
    pytest.param(lambda _: bytes(40 << 20), "the update has 41943040 bytes; a boot bank has 37748736", id="larger than a bank"),
])
def test_a_bad_update_is_refused_before_anything_is_written(idle, tmp_path, make, text):
    before = idle.written()
    idle.put(make(tmp_path), UPDATE)
    result = update(idle)
    assert result.status == 1
    assert result.errors.decode() == f"wafer update: {text}\n"
    assert idle.written() == before


def test_an_idle_host_writes_nothing_to_the_flash_for_ten_minutes(idle):
    before, events = idle.written(), len(idle.recording.events())
    end = time.monotonic() + IDLE_S
    while time.monotonic() < end:
        time.sleep(10)
        assert idle.is_running
    assert idle.written() == before
    assert len(idle.recording.events()) == events
