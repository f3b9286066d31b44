"""The lab's own record of writes: what QEMU writes down is read as it happened, and power cuts leave what they may leave."""

import subprocess

from Lab.medium import Medium
from Lab.recording import Recording

KIB = 1024


def record(directory, *commands: str) -> tuple[Recording, bytes]:
    """What happens when these commands of qemu-io write to 32 KiB of zeros; and what stands there in the end."""
    base, live, log = (directory / name for name in ("base", "live", "log"))
    for file in (base, live):
        file.write_bytes(bytes(32 * KIB))
    Recording.prepare(log)
    options = f"driver=blklogwrites,log-super-update-interval=1,log.driver=file,log.filename={log},file.driver=file,file.filename={live}"
    words = [word for command in commands for word in ("-c", command)]
    subprocess.run(["qemu-io", "--image-opts", options, *words], check=True, stdout=subprocess.DEVNULL)
    return Recording(log, Medium(base)), live.read_bytes()


def test_every_write_and_flush_is_there_in_its_order_and_the_medium_can_be_made_again(tmp_path):
    recording, live = record(
        tmp_path, "write -P 0x41 0 4k", "flush", "write -P 0x42 1k 1k", "write -f -P 0x43 8k 512", "discard 0 512", "write -z 16k 4k")
    events = recording.events()
    assert [(event.offset, event.length) for event in events if event.length] == [
        (0, 4 * KIB), (KIB, KIB), (8 * KIB, 512), (0, 512), (16 * KIB, 4 * KIB)]
    assert events[1].is_flush and not events[0].is_flush
    assert recording.data(events[0]) == b"A" * 4 * KIB
    assert recording.medium(1, tmp_path / "one").path.read_bytes() == b"A" * 4 * KIB + bytes(28 * KIB)
    assert recording.medium(len(events), tmp_path / "all").path.read_bytes() == live


def test_a_power_cut_keeps_what_was_flushed_and_any_of_what_was_not(tmp_path):
    recording, _ = record(tmp_path, "write -P 0x41 0 1k", "write -P 0x42 1k 1k", "flush", "write -P 0x43 0 1k")
    found = []
    for cut in recording.cuts(tmp_path):
        data = cut.medium.path.read_bytes()
        found.append((cut.events, "".join(chr(data[place]) if data[place] else "." for place in range(0, 2 * KIB, 512))))
    # Four sectors: nothing; the first write by half and whole; then with the second by half, whole, without the first.
    assert [what for events, what in found if events == 0] == ["...."]
    assert [what for events, what in found if events == 1] == ["A...", "AA.."]
    assert [what for events, what in found if events == 2][:3] == ["AAB.", "AABB", "..BB"]
    # Whatever comes after the flush has both.
    later = [what for events, what in found if events > 2]
    assert set(later) == {"AABB", "CABB", "CCBB"}
