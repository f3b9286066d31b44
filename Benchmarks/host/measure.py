"""Measures on the bench host: each figure for all monitors in turn. Every result is one line of JSON on standard output.

    measure.py ROUNDS SECONDS PART...     the parts are boot, exits, disk, net and net-user
"""

import json
import os
import subprocess
import sys
import time

from guests import DATA, MINI, Shape, microvm, ours, q35

ROUNDS, SECONDS, PARTS = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
# `sh /bench/measure`, as the minimal guest wants a script.
SCRIPT = "c2ggL2JlbmNoL21lYXN1cmUK"
WORDS = "console=ttyS0 quiet panic=-1 wafer.net=off"
HOST = "10.90.0.1"
NAMES = {ours: "ours", q35: "qemu q35", microvm: "qemu microvm"}


def say(text):
    print(json.dumps({"note": text}), flush=True)


def result(monitor, figure, value):
    print(json.dumps({"figure": figure, "who": NAMES[monitor], "value": value}), flush=True)


def take_turns(monitors, rounds, measure, what):
    """A B A B …; what fails is reported and does not end the run."""
    for turn in range(rounds):
        for monitor in monitors:
            began = time.monotonic()
            try:
                measure(monitor)
                say(f"{what}: {NAMES[monitor]}, {turn + 1} of {rounds}: {time.monotonic() - began:.1f} s")
            except Exception as error:  # whatever it was, the other figures are still wanted
                print(json.dumps({"failed": what, "who": NAMES[monitor], "why": f"{type(error).__name__}: {error}"}), flush=True)


def boot(monitor, keep=True):
    with monitor(Shape(**MINI, words=f"{WORDS} wafer.end=wait")) as guest:
        _, seconds = guest.expect("GUEST-INIT-OK", 120)
        exits = guest.exits_to_user_space()
        guest.expect("GUEST-DONE", 60)
        memory = guest.memory_beyond_ram()
    if keep:
        result(monitor, "start", seconds)
        result(monitor, "start-exits", exits)
        result(monitor, "memory", memory / 1e6)


def exits(monitor):
    with monitor(Shape(kernel=f"{DATA}/exits.elf", memory_mib=64)) as guest:
        head, _ = guest.expect(r"EXITS mul=(\w{8}) shift=(\w{8}) count=(\w{8})", 60)
        factor, shift, count = (int(text, 16) for text in head.groups())
        shift -= (shift & 0x80000000) << 1
        batches = {"port": [], "mmio": []}
        for _ in range(9):
            batch, _ = guest.expect(r"EXITS-BATCH port=(\w{8}) mmio=(\w{8})", 60)
            for name, text in zip(batches, batch.groups()):
                ticks = int(text, 16)
                ticks = ticks << shift if shift >= 0 else ticks >> -shift
                batches[name].append((ticks * factor >> 32) / count)
        guest.expect("EXITS-DONE", 10)
    for name, values in batches.items():
        result(monitor, f"exit-{name}", sorted(values)[len(values) // 2])


def io(monitor, plan, network):
    disks = [userland(), f"{DATA}/disk.raw"]
    words = WORDS.replace("wafer.net=off", "wafer.net=10.90.0.2/24")
    words += f" wafer.test=chroot:vda wafer.sh={SCRIPT} wafer.end=wait bench.plan={plan} bench.seconds={SECONDS} bench.host={HOST}"
    with monitor(Shape(**MINI, words=words, disks=disks, network=network)) as guest:
        guest.expect("GUEST-TEST chroot pass", 180)
        wanted = {"disk": 4, "net": 3}[plan]
        for _ in range(wanted):
            match, _ = guest.expect(r"BENCH (\S+) ([\d.]+)\r?\n", 180)
            name = match[1].decode() + (f"-{network}" if plan == "net" else "")
            result(monitor, name, float(match[2]))
        if plan == "disk":
            result(monitor, "memory-devices", guest.memory_beyond_ram() / 1e6)
        guest.expect("GUEST-DONE pass", 60)


def userland():
    """The block device that /bench came from: the guests use the same userland."""
    for name in os.listdir("/sys/block"):
        try:
            if open(f"/sys/block/{name}/serial").read().strip() == "bench":
                return f"/dev/{name}"
        except OSError:
            pass
    raise RuntimeError("the bench disk is missing")


def set_up_network():
    run = lambda *words: subprocess.run(words, check=True)
    run("ip", "link", "add", "bench0", "type", "bridge")
    run("ip", "address", "add", f"{HOST}/24", "dev", "bench0")
    for name in ("ours", "qemu"):
        run("ip", "tuntap", "add", "dev", name, "mode", "tap", "vnet_hdr")
        run("ip", "link", "set", name, "master", "bench0", "up")
    run("ip", "link", "set", "bench0", "up")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return [
        subprocess.Popen(["iperf3", "-s"], **quiet),
        subprocess.Popen([f"{DATA}/pingpong", "serve", "5202"], **quiet),
    ]


def main():
    every = [ours, q35, microvm]
    pair = [ours, q35]
    if "boot" in PARTS:
        take_turns(every, 1, lambda monitor: boot(monitor, keep=False), "warm up")
        take_turns(every, ROUNDS, boot, "boot")
    if "exits" in PARTS:
        take_turns(pair, ROUNDS, exits, "exits")
    if "disk" in PARTS:
        take_turns(pair, ROUNDS, lambda monitor: io(monitor, "disk", ""), "disk")
    networks = [network for part, network in (("net", "vhost"), ("net-user", "user")) if part in PARTS]
    if networks:
        servers = set_up_network()
        for network in networks:
            take_turns(pair, ROUNDS, lambda monitor: io(monitor, "net", network), f"network, {network}")
        for server in servers:
            server.kill()


main()
