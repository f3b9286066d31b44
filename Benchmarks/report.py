"""Figures: what they are called, which way is better, what the goal is, and the table of their results."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import median

COLUMNS = ["figure", "unit", "ours", "peer", "peer_name", "ratio", "better", "goal", "runs", "spread"]
# What a process may take beyond its guest's RAM, and the host before its first guest, in MB: the goal of such a figure is this by
# the peer's.
MEMORY_MB = 8.0
HOST_MEMORY_MB = 128.0


@dataclass(frozen=True)
class Figure:
    key: str
    name: str
    unit: str
    better: str
    digits: int = 0
    # Ours divided by the peer's; none where it follows from `limit`.
    goal: float | None = 1.0
    # What ours may be, in the figure's unit.
    limit: float = MEMORY_MB


FIGURES = [
    Figure("host-boot", "server: kernel's start to console", "s", "lower", 2),
    Figure("host-memory", "server: memory taken before the first VM", "MB", "lower", 0, None, HOST_MEMORY_MB),
    Figure("host-memory-all", "server: the same with the kernel itself", "MB", "lower"),
    Figure("start", "start of process to guest init", "s", "lower", 3),
    Figure("start-exits", "exits to user space until guest init", "exits", "lower"),
    Figure("memory", "memory beyond guest RAM", "MB", "lower", 2, None),
    Figure("memory-devices", "memory beyond guest RAM, disk I/O behind it", "MB", "lower", 2, None),
    Figure("exit-port", "one port exit (PM timer)", "ns", "lower"),
    Figure("exit-mmio", "one MMIO exit (PCI configuration)", "ns", "lower"),
    Figure("random-read", "4 KiB random read, depth 16", "1/s", "higher"),
    Figure("random-write", "4 KiB random write, depth 16", "1/s", "higher"),
    Figure("sequential-read", "1 MiB sequential read, depth 4", "KiB/s", "higher"),
    Figure("sequential-write", "1 MiB sequential write, depth 4", "KiB/s", "higher"),
    Figure("network-out-vhost", "TCP guest to host, vhost-net", "Mbit/s", "higher"),
    Figure("network-in-vhost", "TCP host to guest, vhost-net", "Mbit/s", "higher"),
    Figure("round-trips-vhost", "TCP round trips, vhost-net", "1/s", "higher"),
    Figure("network-out-user", "TCP guest to host, user space", "Mbit/s", "higher"),
    Figure("network-in-user", "TCP host to guest, user space", "Mbit/s", "higher"),
    Figure("round-trips-user", "TCP round trips, user space", "1/s", "higher"),
]


@dataclass
class Row:
    figure: Figure
    peer_name: str
    ours: list[float]
    peer: list[float]

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios: what makes the machine slower for a while hits both sides of a round."""
        return median(ours / peer if peer else float("inf") for ours, peer in zip(self.ours, self.peer))

    @property
    def goal(self) -> float:
        return self.figure.limit / median(self.peer) if self.figure.goal is None else self.figure.goal

    @property
    def is_met(self) -> bool:
        return self.ratio <= self.goal if self.figure.better == "lower" else self.ratio >= self.goal

    @property
    def spread(self) -> float:
        """Largest minus smallest by the median, of the side where that is more."""
        return max((max(values) - min(values)) / median(values) if median(values) else 0.0 for values in (self.ours, self.peer))

    def cells(self) -> list[str]:
        digits = self.figure.digits
        return [
            self.figure.name, self.figure.unit, f"{median(self.ours):.{digits}f}", f"{median(self.peer):.{digits}f}", self.peer_name,
            f"{self.ratio:.3f}", self.figure.better, f"{self.goal:.3f}", str(min(len(self.ours), len(self.peer))), f"{self.spread:.3f}"]


def rows(results: dict[tuple[str, str], list[float]]) -> list[Row]:
    """All comparisons for which both sides have results."""
    found = []
    for figure in FIGURES:
        ours = results.get((figure.key, "ours"))
        for (key, who), peer in results.items():
            if ours and key == figure.key and who != "ours":
                found.append(Row(figure, who, ours, peer))
    return found


def write(path: Path, table: list[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join("\t".join(cells) + "\n" for cells in [COLUMNS, *(row.cells() for row in table)]))


def write_runs(path: Path, table: list[Row]) -> None:
    """Every single result, in the order of the rounds."""
    path.write_text("".join(
        "\t".join([row.figure.name, who, *(f"{value:.{row.figure.digits}f}" for value in values)]) + "\n"
        for row in table for who, values in (("ours", row.ours), (row.peer_name, row.peer))))


def show(table: list[Row]) -> str:
    """The table for people; what misses its goal is marked."""
    lines = [[*COLUMNS, ""], *([*row.cells(), "" if row.is_met else "missed"] for row in table)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    left = {0, 1, 4, 6, 10}
    return "\n".join(
        "  ".join(cell.ljust(width) if column in left else cell.rjust(width) for column, (cell, width) in enumerate(zip(line, widths))).rstrip()
        for line in lines)
