"""Every write to a boot medium in its order, as QEMU recorded it, and the medium as a power cut at each of them may leave it.

QEMU's driver blklogwrites writes what the kernel's device mapper target log-writes writes (Documentation/admin-guide/device-mapper/
log-writes.rst; the layout: drivers/md/dm-log-writes.c): a sector that says how many entries there are, then entry by entry a
sector of four little-endian 64-bit numbers (sector, number of sectors, flags, bytes of a mark), and behind it what was written.
"""

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .medium import Medium

SECTOR = 512
MAGIC = 0x6A736677736872
HEADER = struct.Struct("<QQQI")
ENTRY = struct.Struct("<QQQQ")
FLUSH, FUA, DISCARD = 1, 2, 4
# Sparse; what is recorded must fit.
LOG_SIZE = 1 << 30


@dataclass(frozen=True)
class Event:
    """One write, or one flush, which has no length."""

    offset: int
    length: int
    # Everything before it is safe.
    is_flush: bool
    # What it writes itself is.
    is_safe: bool
    # Where in the log its bytes are; none for what was discarded, which then reads as zeros.
    place: int | None

    def __str__(self) -> str:
        return f"{self.length} bytes at {self.offset}" if self.length else "flush"


@dataclass(frozen=True)
class Cut:
    """A medium as it may be found after the power was cut. Its file changes with the next one."""

    medium: Medium
    # How many events had happened.
    events: int
    kept: str

    def __str__(self) -> str:
        return f"power cut after {self.events} events, {self.kept}"


class Recording:
    """What a host wrote to its boot medium since it was powered on."""

    def __init__(self, log: Path, base: Medium) -> None:
        self.log = log
        # The medium as it was at power-on.
        self.base = base

    @staticmethod
    def prepare(log: Path) -> None:
        """Makes the file that QEMU records into."""
        log.unlink(missing_ok=True)
        with log.open("wb") as stream:
            stream.truncate(LOG_SIZE)

    def events(self) -> list[Event]:
        """All that happened until now; also while the host runs, which then must be idle."""
        found = []
        with self.log.open("rb") as stream:
            head = stream.read(HEADER.size)
            # Nothing stands there before the first write.
            if not any(head):
                return []
            magic, version, count, sector = HEADER.unpack(head)
            if (magic, version, sector) != (MAGIC, 1, SECTOR):
                raise ValueError(f"{self.log} is no log of writes")
            place = SECTOR
            for _ in range(count):
                stream.seek(place)
                start, sectors, flags, _ = ENTRY.unpack(stream.read(ENTRY.size))
                place += SECTOR
                length, is_discard = sectors * SECTOR, flags & DISCARD
                found.append(Event(
                    start * SECTOR, length, bool(flags & FLUSH), bool(flags & FUA), None if is_discard else place))
                if not is_discard:
                    place += length
        return found

    def data(self, event: Event) -> bytes:
        """What an event wrote."""
        if event.place is None:
            return bytes(event.length)
        with self.log.open("rb") as stream:
            stream.seek(event.place)
            return stream.read(event.length)

    def medium(self, count: int, path: Path) -> Medium:
        """The medium after the first so many events, as a file of its own."""
        medium = self.base.copy(path)
        with medium.path.open("r+b") as stream:
            for event in self.events()[:count]:
                _put(stream, event.offset, self.data(event))
        return medium

    def cuts(self, directory: Path, first: int = 0, seed: int = 1) -> Iterator[Cut]:
        """The medium as a power cut may leave it, for every moment from the first so many events on.

        Until a flush a disk may have kept any of what was written before, sector by sector. So after each event these are tried: all
        kept; of what was not flushed only the last; the last write kept by half. Before each flush, where more than one write
        waited for it, some of these besides, chosen at random.
        """
        chance = random.Random(seed)
        events = self.events()
        # What is surely there, and that with everything that was written.
        durable = self.base.copy(directory / "durable.img")
        whole = self.base.copy(directory / "whole.img")
        waiting: list[Event] = []
        with durable.path.open("r+b", buffering=0) as safe, whole.path.open("r+b", buffering=0) as all_of_it:
            for number, event in enumerate([None, *events]):
                data = self.data(event) if event else b""
                if event and number > first:
                    if event.is_flush and len(waiting) > 1:
                        # Each goes on where the one before was.
                        left = chance.sample(waiting, len(waiting))
                        for share in (3, 2):
                            some, left = left[:len(left) // share], left[len(left) // share:]
                            for one in some:
                                _put(safe, one.offset, self.data(one))
                            kept = f"{len(waiting) - len(left)} of {len(waiting)} unflushed writes kept"
                            yield Cut(durable, number - 1, kept)
                    if event.length > SECTOR:
                        half = event.length // SECTOR // 2 * SECTOR
                        _put(all_of_it, event.offset, data[:half])
                        yield Cut(whole, number, "the last write kept by half")
                if event and event.length:
                    _put(all_of_it, event.offset, data)
                if number >= first:
                    yield Cut(whole, number, "all kept")
                if not event:
                    continue
                if event.is_flush:
                    for one in waiting:
                        _put(safe, one.offset, self.data(one))
                    waiting = []
                if event.is_safe:
                    _put(safe, event.offset, data)
                if event.is_safe or not event.length:
                    continue
                if number > first and waiting:
                    safe.seek(event.offset)
                    before = safe.read(event.length)
                    _put(safe, event.offset, data)
                    yield Cut(durable, number, "of the unflushed writes only the last kept")
                    _put(safe, event.offset, before)
                waiting.append(event)


def _put(stream, offset: int, data: bytes) -> None:
    if data:
        stream.seek(offset)
        stream.write(data)
