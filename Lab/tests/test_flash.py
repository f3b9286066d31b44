"""Whatever is saved on the boot flash survives a power cut at every single write, and damage there does not keep a host from booting."""

import time
from dataclasses import dataclass

import pytest

from Lab.flash import BUNDLE, UPDATE, inspect, product, settings, update, wait_confirmed, words
from Lab.host import Host
from Lab.medium import ENVIRONMENT, IMAGE, Medium
from Lab.process import Result
from Lab.recording import Recording

# Minutes, and `make image` first.
pytestmark = pytest.mark.slow

CHANGES = [
    ["hostName", "first.example.com"],
    ["console.idleTimeout", "900", "access.failuresMax", "7"],
    # Its first sector differs from what it replaces, so that it can be torn.
    ["hostName", "third.example.com", "network.dns.servers[0]", "192.0.2.1"],
    ["hostName", "second"],
]


@pytest.fixture(scope="module")
def saves(tmp_path_factory):
    """A recording of several saves, and after each: how many events there had been, and the settings."""
    host = product("settings", record=True)
    with host:
        wait_confirmed(host)
        # The first boot has saved which network adapters there are.
        states = [(len(host.recording.events()), settings(host))]
        for change in CHANGES:
            host.run(["wafer", "settings", "set", *change]).check()
            # When the command ends, the change is safe.
            states.append((len(host.recording.events()), settings(host)))
    return host.recording, states


def test_a_power_cut_at_every_write_of_a_save_leaves_the_old_or_the_new_settings_whole(saves, tmp_path):
    recording, states = saves
    first = inspect(recording.medium(states[0][0], tmp_path / "first.img")).revision
    seen, cuts = set(), 0
    for cut in recording.cuts(tmp_path, first=states[0][0]):
        found = inspect(cut.medium)
        acknowledged = max(number for number, (events, _) in enumerate(states) if events <= cut.events)
        number = found.revision - first
        assert number in (acknowledged, acknowledged + 1), str(cut)
        assert found.settings == states[number][1], str(cut)
        assert found.banks["A"] == "whole" and found.starts == ("A", "as usual"), str(cut)
        seen.add((number - acknowledged, number))
        cuts += 1
    # Each save was found both unfinished and finished, and not yet acknowledged.
    assert {(0, number) for number in range(len(states))} <= seen
    assert {(1, number) for number in range(1, len(states))} <= seen
    print(f"{cuts} power cuts in {len(CHANGES)} saves")


def test_a_host_boots_with_the_old_or_the_new_settings_after_a_power_cut(saves, tmp_path):
    """The first save cut off at its first write, the third one torn in the middle of its settings, the last one at its last write."""
    recording, states = saves
    third = states[2][0]
    media = []
    for cut in recording.cuts(tmp_path, first=states[0][0]):
        if cut.events == states[0][0] + 1 and cut.kept == "all kept":
            media.append((cut.medium.copy(tmp_path / "first.img"), 0, False))
        if cut.events == third + 1 and "half" in cut.kept:
            media.append((cut.medium.copy(tmp_path / "torn.img"), 2, True))
    media.append((recording.medium(states[-1][0], tmp_path / "last.img"), len(CHANGES), False))
    assert len(media) == 3
    for medium, number, is_interrupted in media:
        with product(f"settings-{number}", path=medium.path, keep=True) as host:
            result = host.wait_for(lambda: _asked(host), 60, "the configuration agent")
            assert result.text.splitlines() == states[number][1]
            warning = "the last change of the settings was not saved to its end" in result.errors.decode()
            assert warning == is_interrupted


def _asked(host: Host) -> Result | None:
    result = host.run(["wafer", "settings", "get"])
    return None if result.status else result


# Updating


@dataclass
class Updated:
    """What a host wrote that was updated, and how many events there had been at each point."""

    recording: Recording
    begun: int
    done: int
    confirmed: int


def restart(host: Host, count: int) -> None:
    """Restarts a host and waits until it can be worked with: its boot number `count`."""
    host.request_power(restart=True)
    host.connection.close()
    host.wait_text("press A or B", 120, count)
    host.open_channel()


@pytest.fixture(scope="module")
def updated():
    """A host on which an update was installed, tried, found well, and started once more."""
    with product("update", record=True, restarts=True) as host:
        wait_confirmed(host)
        host.put(BUNDLE, UPDATE)
        begun = len(host.recording.events())
        result = update(host).check()
        done = len(host.recording.events())
        assert result.text.startswith("bank B holds version ")
        listed = host.run(["wafer", "settings", "banks"]).check().text.splitlines()
        assert listed[0].endswith("(running, standard)") and listed[1].endswith("(tried at the next start)")

        restart(host, 2)
        assert "wafer.bank=B" in words(host) and "wafer.trial=1" in words(host)
        wait_confirmed(host, "B")
        confirmed = len(host.recording.events())
        listed = host.run(["wafer", "settings", "banks"]).check().text.splitlines()
        assert listed[1].endswith("(running, standard)")

        restart(host, 3)
        assert "wafer.bank=B" in words(host)
        assert not [word for word in words(host) if word.startswith(("wafer.trial", "wafer.fallback"))]
        wait_confirmed(host, "B")
    return Updated(host.recording, begun, done, confirmed)


def test_an_update_goes_to_the_other_bank_is_tried_and_stays(updated):
    """The fixture says how."""
    assert updated.begun < updated.done < updated.confirmed
    places = Medium.places()
    allowed = [places["WAFER-B"], places[ENVIRONMENT]]
    for event in updated.recording.events()[updated.begun:]:
        assert not event.length or any(
            start <= event.offset and event.offset + event.length <= start + length for start, length in allowed), str(event)


def test_a_power_cut_at_every_write_of_an_update_starts_a_whole_bank(updated, tmp_path):
    cuts, seen = 0, []
    for cut in updated.recording.cuts(tmp_path, first=updated.begun):
        found = inspect(cut.medium)
        assert not found.findings, str(cut)
        assert found.banks["A"] == "whole", str(cut)
        assert found.banks.get(found.starts[0]) == "whole", str(cut)
        cuts += 1
        # What was acknowledged is safe. The loader does not flush: what it counted may be lost.
        assert cut.events < updated.done or found.banks["B"] == "whole", str(cut)
        if cut.kept != "all kept":
            continue
        if cut.events == updated.done:
            assert found.starts == ("B", "on trial"), str(cut)
        if cut.events >= updated.confirmed:
            assert found.starts == ("B", "as usual"), str(cut)
        if not seen or seen[-1] != found.starts:
            seen.append(found.starts)
    # Installed; tried, which is counted before the bank starts; found well.
    assert seen == [("A", "as usual"), ("B", "on trial"), ("A", "as usual"), ("B", "as usual")]
    print(f"{cuts} power cuts in an update of {updated.done - updated.begun} writes and flushes, its trial and confirmation")


def moments(updated: Updated) -> dict[str, tuple[int, str]]:
    """The most telling moments of an update: how many events had happened by then, and what then starts."""
    begun, done, confirmed = updated.begun, updated.done, updated.confirmed
    return {
        "first write": (begun + 1, "A"),
        "half of the parts": ((begun + done) // 2, "A"),
        # The trial is the last write, then comes a flush.
        "all but the trial": (done - 2, "A"),
        "all": (done, "B"),
        "counted by the loader": (done + 1, "A"),
        "confirmed": (confirmed, "B"),
    }


@pytest.mark.parametrize("firmware, moment", [
    ("bios", "first write"), ("uefi", "half of the parts"), ("bios", "half of the parts"), ("bios", "all but the trial"),
    ("uefi", "all"), ("bios", "counted by the loader"), ("uefi", "confirmed")])
def test_a_host_boots_after_a_power_cut_in_an_update(updated, tmp_path, firmware, moment):
    events, bank = moments(updated)[moment]
    medium = updated.recording.medium(events, tmp_path / "cut.img")
    with product("cut", firmware=firmware, path=medium.path, keep=True) as host:
        assert f"wafer.bank={bank}" in words(host)
        assert ("wafer.trial=1" in words(host)) == (moment == "all")
        wait_confirmed(host, bank)
        if moment == "counted by the loader":
            host.wait_for(lambda: "the update in bank B did not come up; bank A runs" in _warnings(host), 60, "the warning")


def _warnings(host: Host) -> str:
    return host.run(["wafer", "settings", "get"]).errors.decode()


# Damage on the flash


def damage(medium: Medium, bank: str, file: str, at: int) -> None:
    """Changes a bit of a file in a bank; both banks are laid out alike."""
    place = Medium.places()[f"WAFER-A/{file}"][0] - Medium.places()["WAFER-A"][0] + at
    byte = medium.read(f"WAFER-{bank}")[place]
    medium.write(f"WAFER-{bank}", bytes([byte ^ 1]), place)


@pytest.mark.parametrize("file, at", [("manifest", 20), ("manifest.sig", 5), ("vmlinuz", -1)])
def test_a_trial_from_a_bank_that_is_not_as_it_was_signed_falls_back(tmp_path, file, at):
    """What the loader cannot see and what does not keep the host from coming up: the host itself looks before it says that all is well."""
    medium = Medium(IMAGE).copy(tmp_path / "wafer.img")
    medium.copy_partition("WAFER-A", "WAFER-B")
    damage(medium, "B", file, at + (Medium.places()["WAFER-A/vmlinuz"][1] if at < 0 else 0))
    medium.set_environment(next="B", trial="1")
    host = product("damaged", path=medium.path, keep=True, restarts=True)
    try:
        host.power_on()
        host.wait_text("this boot on trial has a damaged boot bank; restarting", 180)
        host.wait_text("press A or B", 120, 2)
        host.open_channel()
        assert "wafer.bank=A" in words(host) and "wafer.trial=1" not in words(host)
        wait_confirmed(host)
        assert medium.environment["bank"] == "A"
        host.shutdown()
    finally:
        host.kill()


def test_a_bank_whose_kernel_cannot_be_loaded_gives_way_at_once_and_the_other_one_stays(tmp_path):
    medium = Medium(IMAGE).copy(tmp_path / "wafer.img")
    medium.copy_partition("WAFER-A", "WAFER-B")
    start = Medium.places()["WAFER-A/vmlinuz"][0] - Medium.places()["WAFER-A"][0]
    medium.write("WAFER-A", bytes(4096), start)
    with product("kernel", path=medium.path, keep=True) as host:
        assert "wafer.bank=B" in words(host) and "wafer.fallback=1" in words(host)
        wait_confirmed(host, "B")
        assert "bank A could not be started; bank B runs" in _warnings(host)


def test_a_damaged_environment_of_the_loader_is_made_anew(tmp_path):
    """The loader then starts bank A. The product as it is: the lab's words are in that environment."""
    medium = Medium(IMAGE).copy(tmp_path / "wafer.img")
    medium.write(ENVIRONMENT, b"Z" * 512)
    host = product("environment", path=medium.path, keep=True, lab=False)
    try:
        host.power_on()
        host.wait_text("Configure, view logs", 180)
        deadline = time.monotonic() + 180
        while medium.environment.get("bank") != "A":
            assert time.monotonic() < deadline and host.is_running
            time.sleep(1)
    finally:
        host.kill()
    found = inspect(medium)
    assert found.variables == {"bank": "A", "attempts": "0"}
    assert found.starts == ("A", "as usual") and not found.findings
