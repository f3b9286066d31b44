"""`python3 -m Benchmarks [--quick] [PART ...]`: Wafer's monitor beside Debian's QEMU on one simulated server.

Both run the same guests with the same kernel, initial RAM disk, disk file and bridge, and take turns (ours, theirs, ours, …); each
figure is the median of its runs, each ratio the median of its rounds' ratios (every result is in build/bench-runs.tsv).
Parts: server, boot, exits, disk, net, net-user; all of them if none is named. The table goes to
build/bench.tsv too. A missed goal is marked; the exit status is not zero only if something could not be measured.

Under emulation times are many times those of hardware and say little by themselves; the ratios are what is compared.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

from Lab import paths
from Lab.host import Flavour, Host
from Lab.qemu import Disk, Machine

from . import assets, report, servers

PARTS = ["server", "boot", "exits", "disk", "net", "net-user"]
# Measured from outside, on servers of its own.
SERVER = "server"

# The bench userland's own loader starts what is needed to get into it: the appliance has no programs.
ENTER = """
tool() { program=$1; shift; /bench/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 --library-path /bench/lib/x86_64-linux-gnu "/bench$program" "$@"; }
for place in proc sys dev tmp; do tool /bin/mount --rbind /$place /bench/$place; done
tool /bin/mount -t debugfs debugfs /bench/sys/kernel/debug
tool /usr/sbin/chroot /bench /usr/bin/python3 /tmp/data/measure.py "$@"
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m Benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round of everything")
    parser.add_argument("--rounds", type=int, help="how often each is run (3; quick: 1)")
    parser.add_argument("--seconds", type=int, help="how long each transfer takes (3; quick: 1)")
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    rounds = options.rounds or (1 if options.quick else 3)
    seconds = options.seconds or (1 if options.quick else 3)

    began = time.monotonic()
    parts = options.parts or PARTS
    results: dict[tuple[str, str], list[float]] = {}
    failures: list[str] = []
    if SERVER in parts:
        try:
            servers.measure(
                rounds, lambda figure, who, value: results.setdefault((figure, who), []).append(value), lambda text: say(began, text))
        except Exception as error:  # whatever it was, the other figures are still wanted
            failures.append(f"{SERVER}: {type(error).__name__}: {error}")
    if inside := [part for part in parts if part != SERVER]:
        measure_guests([str(rounds), str(seconds), *inside], results, failures, began)

    table = report.rows(results)
    report.write(paths.BUILD / "bench.tsv", table)
    report.write_runs(paths.BUILD / "bench-runs.tsv", table)
    print(report.show(table))
    for failure in failures:
        print(f"could not be measured: {failure}", file=sys.stderr)
    say(began, f"done; the table is in {paths.BUILD / 'bench.tsv'}")
    return 1 if failures else 0


def measure_guests(
    words: list[str], results: dict[tuple[str, str], list[float]], failures: list[str], began: float
) -> None:
    """Starts the bench host and measures there."""
    userland, data = assets.build()
    flavour = Flavour(
        "bench", append=["wafer.mount=SERIAL=bench:/bench:ext4:ro", "wafer.mount=SERIAL=benchdata:/tmp/data"],
        disks=[Disk(userland, "bench", read_only=True), Disk(data, "benchdata")])
    with Host("bench", Machine(), flavour) as host:
        say(began, "the bench host is up")
        measure(host, words, results, failures, began)


def measure(
    host: Host, words: list[str], results: dict[tuple[str, str], list[float]], failures: list[str], began: float
) -> None:
    """Runs the measurements on the host and takes what they say, line by line."""
    shell = ["/bench/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", "--library-path", "/bench/lib/x86_64-linux-gnu", "/bench/bin/dash"]
    process = host.popen([*shell, "-c", ENTER, "enter", *words])
    rest = b""
    while data := process.read():
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            said = json.loads(line)
            if "value" in said:
                results.setdefault((said["figure"], said["who"]), []).append(said["value"])
            elif "failed" in said:
                failures.append(f"{said['failed']}, {said['who']}: {said['why']}")
                say(began, f"{said['failed']}, {said['who']}: failed: {said['why'].splitlines()[0]}")
            else:
                say(began, said["note"])
    if status := process.wait():
        errors = process.channel.read(2, 5).decode(errors="replace")
        failures.append(f"the measuring program ended with status {status}: {errors.strip()}")


def say(began: float, text: str) -> None:
    print(f"bench: {time.monotonic() - began:6.1f} s  {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
