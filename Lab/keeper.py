"""A host in the background: the program that keeps it, and how others find it and end exactly that one."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from . import paths
from .broker import Broker
from .channel import Connection, Disconnected, greet
from .host import Guest, Host
from .progress import say


class NotUp(Exception):
    """There is no background host."""


class AttachedHost(Guest):
    """A background host, used from another program."""

    def __init__(self, state: dict) -> None:
        import socket

        self.state = state
        stream = socket.socket(socket.AF_UNIX)
        stream.connect(state["channel_socket"])
        self.connection = Connection(stream, 30)


def _started(pid: int) -> str | None:
    """When a process started, in the kernel's ticks: with the number it names one process and no later one."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return None


def state() -> dict:
    """What build/lab.json says of the host that runs; raises NotUp if none does."""
    try:
        found = json.loads(paths.STATE.read_text())
    except (OSError, ValueError):
        raise NotUp("no host is up; start one with make lab-up") from None
    if _started(found["pid"]) != found["started"]:
        raise NotUp("no host is up (the last one ended by itself); start one with make lab-up")
    return found


def attach() -> AttachedHost:
    return AttachedHost(state())


def up(options: list[str], timeout: float = 300) -> dict:
    """Starts a host that stays when this program ends."""
    try:
        return state()
    except NotUp:
        paths.STATE.unlink(missing_ok=True)
    paths.LAB.mkdir(parents=True, exist_ok=True)
    log = paths.LAB / f"{paths.STATE.stem}-keeper.log"
    with log.open("wb") as stream:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "Lab", "keep", *options], cwd=paths.ROOT, stdin=subprocess.DEVNULL,
            stdout=stream, stderr=stream, start_new_session=True)
    shown = 0
    deadline = time.monotonic() + timeout
    while True:
        # Its progress lines are this program's.
        text = log.read_bytes()
        sys.stderr.buffer.write(text[shown:])
        sys.stderr.flush()
        shown = len(text)
        if keeper.poll() is not None:
            raise RuntimeError("the host did not come up")
        try:
            return state()
        except NotUp:
            pass
        if time.monotonic() > deadline:
            keeper.terminate()
            raise TimeoutError(f"the host did not come up within {timeout:.0f} s; see {log}")
        time.sleep(0.1)


def keep(host: Host, timeout: float = 300) -> None:
    """Runs a host and shares its channel until it ends, or until SIGTERM asks for that."""
    host.power_on()
    say("booting the host …")
    path = Path(host.sockets["serial"]).parent / "channel"
    try:
        port = host.connect_port(timeout)
        received = greet(port, timeout, lambda: host.is_running)
        say(f"the host is up after {time.monotonic() - host.started:.1f} s")
        broker = Broker(port, path)
        signal.signal(signal.SIGTERM, lambda *_: _stop(host, path))
        _write_state(host, path)
        broker.serve(received)
        host.qemu.wait(60)
    finally:
        host.kill()
        paths.STATE.unlink(missing_ok=True)


def _stop(host: Host, path: Path) -> None:
    """Shuts the host down in order, and in twenty seconds at the latest."""
    def orderly() -> None:
        try:
            AttachedHost({"channel_socket": str(path)}).request_power()
        except (OSError, Disconnected):
            pass
        try:
            host.qemu.wait(20)
        except subprocess.TimeoutExpired:
            host.qemu.kill()

    threading.Thread(target=orderly, daemon=True).start()


def _write_state(host: Host, channel: Path) -> None:
    found = {
        "name": host.name,
        "pid": os.getpid(),
        "started": _started(os.getpid()),
        "qemu_pid": host.qemu.pid,
        "address": "127.0.0.1",
        "user": None,
        "password": None,
        "note": "the host has no login: whoever can open the channel socket is root (python3 -m Lab exec COMMAND …)",
        "forwards": [
            {"here": f"127.0.0.1:{here}", "there": f"{address}:{port}"}
            for here, (address, port) in host.machine.forwards.items()],
        "channel_socket": str(channel),
        "serial_socket": host.sockets["serial"],
        "monitor_socket": host.sockets["monitor"],
        "serial_log": str(host.serial_log),
    }
    scratch = paths.STATE.with_suffix(".new")
    scratch.write_text(json.dumps(found, indent=2) + "\n")
    scratch.rename(paths.STATE)


def down(timeout: float = 60) -> None:
    """Ends the background host: exactly that one."""
    found = state()
    # The process cannot be another one by now: it is asked for by number and start time just before.
    os.kill(found["pid"], signal.SIGTERM)
    deadline = time.monotonic() + timeout
    while _started(found["pid"]) == found["started"]:
        if time.monotonic() > deadline:
            raise TimeoutError(f"process {found['pid']} did not end within {timeout:.0f} s")
        time.sleep(0.05)
    paths.STATE.unlink(missing_ok=True)


def describe(found: dict) -> str:
    """How to reach the host, for a person."""
    lines = [
        f"host {found['name']} is up (process {found['pid']}, QEMU {found['qemu_pid']})",
        f"  {found['note']}",
        *(f"  {entry['here']} leads to {entry['there']} on the host's network" for entry in found["forwards"]),
        f"  serial console   {found['serial_socket']}   (python3 -m Lab console; log: {found['serial_log']})",
        f"  lab channel      {found['channel_socket']}",
        f"  QEMU's monitor   {found['monitor_socket']}",
        f"  all of this is in {paths.STATE}; make lab-down ends the host",
    ]
    return "\n".join(lines)
