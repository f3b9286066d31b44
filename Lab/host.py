"""A simulated server with Wafer on it."""

import ctypes
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Callable

from . import acceleration, channel, initramfs, kernel, paths, probes
from .channel import Connection, Disconnected
from .process import Process, Result
from .progress import say, step
from .medium import Medium
from .recording import Recording
from .qemu import Disk, Flash, Kernel, Machine, Monitor, Written, arguments
from .screen import Screen


@dataclass
class Flavour:
    """What runs on the server besides the kernel: by default Wafer and nothing else."""

    name: str = "wafer"
    # More words for the kernel's command line.
    append: list[str] = field(default_factory=list)
    disks: list[Disk] = field(default_factory=list)
    # More initial RAM file systems, uncompressed cpio.
    archives: list[bytes] = field(default_factory=list)
    # The host's address, as wafer.net has it; empty leaves it to its settings.
    network: str = "10.0.2.100/24,10.0.2.2"


@dataclass(frozen=True)
class Listed:
    """A process as the host lists it."""

    pid: int
    parent: int
    state: str
    threads: int
    rss_kib: int
    descriptors: int
    command: str


class Guest:
    """What can be done with a host over its lab channel, however that is reached."""

    connection: Connection

    def popen(self, arguments: list[str], *, environment: dict[str, str] | None = None, directory: str = "",
              root: str = "") -> Process:
        """Starts a process; its streams are read and written while it runs.

        `root` is a directory with a userland, such as /bench, that the process sees as its root, with the host's own
        /proc, /dev and data disks in it.
        """
        words = ["wafer", "enter", root, *arguments] if root else arguments
        opened = self.connection.open(channel.START, _start(words, environment, directory)).wait_opened()
        return Process(opened, arguments)

    def run(
        self, arguments: list[str], *, input: bytes | None = None, timeout: float | None = 60,
        environment: dict[str, str] | None = None, directory: str = "", root: str = "",
    ) -> Result:
        """Runs a process to its end."""
        process = self.popen(arguments, environment=environment, directory=directory, root=root)
        return process.communicate(input, timeout)

    def start_detached(
        self, arguments: list[str], *, output: str = "", environment: dict[str, str] | None = None, directory: str = "",
    ) -> int:
        """Starts a process that outlives this connection; both its outputs are appended to a file on the host."""
        body = _start(arguments, environment, directory, output, detached=True)
        opened = self.connection.open(channel.START, body)
        opened.wait_finished()
        return opened.process

    def put(self, data: bytes | str | Path, path: str, permissions: int = 0o644, timeout: float | None = 600) -> None:
        """Writes a file on the host, from bytes or from a file here."""
        opened = self.connection.open(channel.PUT, channel.string(path) + struct.pack("<I", permissions)).wait_opened()
        if isinstance(data, Path):
            with data.open("rb") as stream:
                while piece := stream.read(1 << 20):
                    opened.write(piece, timeout)
        else:
            opened.write(data.encode() if isinstance(data, str) else data, timeout)
        opened.write_end()
        opened.wait_finished(timeout)

    def get(self, path: str, timeout: float | None = 600) -> bytes:
        """Reads a file of the host, also of /proc or /sys."""
        return self._collect(self.connection.open(channel.GET, channel.string(path)), timeout)

    def read_file(self, path: str) -> str:
        return self.get(path).decode(errors="replace")

    def entries(self, path: str) -> dict[str, tuple[str, int, int]]:
        """A directory: name -> kind (`f`, `d`, `l`, `s`, …), size, permissions."""
        entries = {}
        for line in self._collect(self.connection.open(channel.LIST, channel.string(path))).decode().splitlines():
            kind, size, permissions, name = line.split(" ", 3)
            entries[name] = (kind, int(size), int(permissions, 8))
        return entries

    def processes(self) -> list[Listed]:
        listed = []
        for line in self._collect(self.connection.open(channel.PROCESSES)).decode(errors="replace").splitlines():
            pid, parent, state, threads, rss, descriptors, command = line.split(" ", 6)
            listed.append(Listed(int(pid), int(parent), state, int(threads), int(rss), int(descriptors), command))
        return listed

    def wait_for_path(self, path: str, timeout: float = 60) -> None:
        """Waits until something stands at a path on the host."""
        body = channel.string(path) + struct.pack("<I", int(timeout * 1000))
        self.connection.open(channel.WAIT, body).wait_finished(timeout + 60)

    def make_directory(self, path: str) -> None:
        self.connection.open(channel.MAKE_DIRECTORY, channel.string(path)).wait_finished()

    def remove(self, path: str) -> None:
        self.connection.open(channel.REMOVE, channel.string(path)).wait_finished()

    def connect_unix(self, path: str) -> socket.socket:
        """Connects to a Unix socket on the host. What is returned is a real socket."""
        opened = self.connection.open(channel.CONNECT, channel.string(path)).wait_opened()
        ours, theirs = socket.socketpair()
        threading.Thread(target=_relay_out, args=(theirs, opened), daemon=True).start()
        threading.Thread(target=_relay_in, args=(opened, theirs), daemon=True).start()
        return ours

    def memory(self) -> dict[str, int]:
        """The host's memory in KiB, by the names of /proc/meminfo."""
        return {name: int(value) for name, value in re.findall(r"(\S+):\s+(\d+)", self.read_file("/proc/meminfo"))}

    def process_memory(self, pid: int) -> dict[str, int]:
        """One process's memory in KiB, by the names of smaps_rollup (`Pss`, `Rss`, …)."""
        return {name: int(value) for name, value in re.findall(r"(\w+):\s+(\d+) kB", self.read_file(f"/proc/{pid}/smaps_rollup"))}

    def descriptors(self, pid: int) -> int:
        """How many descriptors a process has open."""
        return len(self.entries(f"/proc/{pid}/fd"))

    def request_power(self, restart: bool = False) -> None:
        """Asks the host to shut down in order; does not wait for it."""
        try:
            self.connection.open(channel.POWER, bytes([restart])).wait_finished()
        except Disconnected:
            pass

    def wait_for(self, predicate: Callable[[], object], timeout: float = 60, what: str = "the condition"):
        """Waits until the predicate gives something true, and returns that.

        It is asked again whenever anything comes from the host, and every half second.
        """
        deadline = time.monotonic() + timeout
        while True:
            result = predicate()
            if result:
                return result
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"{what} did not come about within {timeout:.0f} s")
            with self.connection.changed:
                self.connection.changed.wait(min(left, 0.5))

    @staticmethod
    def _collect(opened: channel.Channel, timeout: float | None = 60) -> bytes:
        pieces = []
        while piece := opened.read(1, timeout):
            pieces.append(piece)
        opened.wait_finished(timeout)
        return b"".join(pieces)


class Sick(Exception):
    """The emulator got something wrong that has nothing to do with what runs on the server."""


class Host(Guest):
    """A simulated server that this program runs, and that ends with it."""

    def __init__(self, name: str = "host", machine: Machine | None = None, flavour: Flavour | None = None,
                 append: list[str] | None = None, wafer: Path = paths.WAFER) -> None:
        self.name = name
        self.machine = machine or Machine()
        self.flavour = flavour or Flavour()
        self.append = append or []
        self.wafer = wafer
        self.directory = paths.LAB / "hosts" / name
        self._sockets: Path | None = None
        # What it boots from, if its machine boots the image.
        self.medium: Medium | None = None
        # What was written to it, if that is recorded.
        self.recording: Recording | None = None
        self.qemu: subprocess.Popen | None = None
        self._is_emulated = False
        # How often it has booted since it was powered on, this time included.
        self._boots = 0
        self.started = 0.0

    # Starting

    def start(self, timeout: float = 180) -> "Host":
        """Powers the host on and waits until it can be worked with."""
        for attempt in range(3):
            self.power_on()
            try:
                self.open_channel(timeout)
                return self
            except BaseException as error:
                self.kill()
                if isinstance(error, Sick) and attempt < 2:
                    say(f"{error}; starting it again")
                    continue
                error.add_note(self._last_words())
                raise

    def power_on(self) -> None:
        """Starts QEMU. The host begins to boot."""
        self.directory.mkdir(parents=True, exist_ok=True)
        for old in ("serial.log", "qemu.log", "uefi-variables.fd"):
            (self.directory / old).unlink(missing_ok=True)
        for old in self.directory.glob("screen-*.png"):
            old.unlink()
        self._boots = 1
        self._make_sockets()
        linux = kernel.get()
        for number, here in enumerate(list(self.machine.forwards)):
            if here < 1:
                self.machine.forwards[_free_port()] = self.machine.forwards.pop(here)
        disks = [self._disk(disk) for disk in self.flavour.disks + self.machine.disks]
        hardware = replace(self.machine, disks=disks)
        start = self._flash() if self.machine.boot else self._kernel(linux)
        accelerator = acceleration.choose(linux)
        self._is_emulated = accelerator == "tcg"
        command = arguments(hardware, accelerator, start, self.directory, self._sockets)
        (self.directory / "command").write_text("\n".join(command) + "\n")
        self.started = time.monotonic()
        environment = dict(os.environ)
        if self._is_emulated:
            environment["LD_PRELOAD"] = str(probes.program(probes.LOCK_INTERRUPTS))
        with (self.directory / "qemu.log").open("wb") as log:
            self.qemu = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, preexec_fn=_end_with_parent)

    def _kernel(self, linux: kernel.Kernel) -> Kernel:
        """What the host is handed: a kernel that need not be decompressed, modules, and the binary as it was built last."""
        if not self.wafer.exists():
            raise FileNotFoundError(f"{self.wafer} is missing: run make wafer")
        initrd = self.directory / "initrd"
        with initrd.open("wb") as stream:
            with initramfs.base(linux).open("rb") as archive:
                shutil.copyfileobj(archive, stream, 1 << 20)
            for archive in [initramfs.wafer(self.wafer), *self.flavour.archives]:
                stream.write(archive + b"\0" * (-len(archive) % 4))
        append = ["console=ttyS0", "loglevel=4", "panic=-1", *self._words()]
        return Kernel(linux.unpacked, initrd, " ".join(append))

    def _flash(self) -> Flash:
        """The image's medium, with the lab's words in its loader's environment."""
        image = self.machine.boot
        if self.flavour.archives:
            raise ValueError("a host that boots the image has no other files")
        self.medium = image.place(self.directory)
        if image.lab:
            self.medium.set_environment(append=" ".join(self._words()))
        log = self.directory / "writes.log" if image.record else None
        if log:
            Recording.prepare(log)
            self.recording = Recording(log, self.medium.copy(self.directory / "boot-before.img"))
        return Flash(self.medium.path, image.bus, self.machine.firmware, log)

    def _words(self) -> list[str]:
        """For the kernel's command line."""
        return [
            "mitigations=off", "cryptomgr.notests", "wafer.lab=1",
            # A processor that is lost to the emulator (it may keep an instruction that the kernel has patched away) ends
            # the host at once instead of hanging the test.
            "softlockup_panic=1", "watchdog_thresh=30",
            *([f"wafer.net={self.flavour.network}"] if self.flavour.network else []),
            *self.flavour.append, *self.append]

    def open_channel(self, timeout: float = 180) -> None:
        """Waits until the booted host answers on its lab channel."""
        deadline = time.monotonic() + timeout
        port = self.connect_port(timeout)
        self.connection = Connection(port, deadline - time.monotonic(), alive=lambda: self.is_running)
        if self._is_emulated:
            self._guard_against_emulator()

    def _guard_against_emulator(self) -> None:
        """Finds out whether the emulator has lost a processor's timer, and keeps KVM from doing what it gets wrong."""
        try:
            self._run_probe(probes.PROBE_TIMERS, lambda path: self.run([path], timeout=20).check())
        except TimeoutError:
            raise Sick("a processor of the emulated server has no timer") from None
        self._run_probe(probes.HOLD_KVM, lambda path: self.start_detached([path]))

    def _run_probe(self, name: str, start: Callable[[str], object]) -> None:
        path = f"/tmp/{name}"
        self.put(probes.program(name), path, 0o755)
        start(path)
        self.remove(path)

    def wait_restart(self, timeout: float = 180) -> None:
        """Waits until a host that boots the image, and was told to restart, can be worked with again."""
        self._boots += 1
        self.wait_text("wafer is up", timeout, count=self._boots)
        self.connection.close()
        self.open_channel(timeout)

    def _last_words(self) -> str:
        """What QEMU complained of, and the end of what the host said."""
        log = self.directory / "qemu.log"
        complaints = [line for line in log.read_text().splitlines() if "TCG doesn't support" not in line] if log.exists() else []
        return "\n".join([*complaints, f"the end of {self.serial_log}:", self.serial_text()[-3000:]])

    def connect_port(self, timeout: float = 60) -> socket.socket:
        """The other end of the host's virtio-serial port. Only one program at a time can hold it."""
        return connect(self._sockets / "port", timeout, lambda: self.is_running)

    def _disk(self, disk: Disk) -> Disk:
        """A temporary disk's writes go to a file over it that begins anew."""
        if not disk.temporary:
            return disk
        overlay = self.directory / f"{disk.serial}.qcow2"
        overlay.unlink(missing_ok=True)
        subprocess.run(
            ["qemu-img", "create", "-q", "-f", "qcow2", "-F", disk.format, "-b", disk.path, overlay], check=True)
        return replace(disk, path=overlay, format="qcow2", temporary=False)

    def _make_sockets(self) -> None:
        # A Unix socket's path has at most 107 bytes, and a clone may lie deep.
        self._sockets = Path(tempfile.mkdtemp(prefix="wafer-lab-"))

    # Ending

    @property
    def is_running(self) -> bool:
        return self.qemu is not None and self.qemu.poll() is None

    def shutdown(self, timeout: float = 60) -> None:
        """Shuts the host down in order and waits until its power is off."""
        self.request_power()
        self.wait_off(timeout)

    def wait_off(self, timeout: float = 60) -> None:
        """Waits until the host's power is off."""
        try:
            self.qemu.wait(timeout)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"the host is not off after {timeout:.0f} s:\n{self.serial_text()[-2000:]}") from None
        self._forget()

    def kill(self) -> None:
        """Pulls the plug."""
        if self.qemu is not None and self.qemu.poll() is None:
            self.qemu.kill()
            self.qemu.wait()
        self._forget()

    def _forget(self) -> None:
        if hasattr(self, "connection"):
            self.connection.close()
        if self._sockets:
            shutil.rmtree(self._sockets, ignore_errors=True)

    def __enter__(self) -> "Host":
        return self.start()

    def __exit__(self, kind, *_) -> None:
        if kind is None and self.is_running:
            try:
                self.shutdown()
                return
            except TimeoutError:
                self.kill()
                raise
        self.kill()

    # The machine from outside

    @property
    def serial_log(self) -> Path:
        return self.directory / "serial.log"

    def serial_text(self) -> str:
        """What the host has written to its serial port."""
        return self.serial_log.read_text(errors="replace") if self.serial_log.exists() else ""

    def wait_text(self, text: str, timeout: float = 180, count: int = 1) -> None:
        """Waits until the host has written a text to its serial port, so many times."""
        deadline = time.monotonic() + timeout
        while self.serial_text().count(text) < count:
            if not self.is_running:
                raise RuntimeError(f"the host ended before it said {text!r}\n{self._last_words()}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"the host did not say {text!r} within {timeout:.0f} s\n{self._last_words()}")
            time.sleep(0.1)  # QEMU writes the file and tells nobody

    def monitor(self) -> Monitor:
        """QEMU's monitor, for power cuts, screen pictures, keys."""
        return Monitor(self._sockets / "qmp")

    def written(self) -> Written:
        """What was written to the boot medium since the power is on, counted outside the host."""
        monitor = self.monitor()
        try:
            return monitor.written()
        finally:
            monitor.close()

    def screen(self) -> Screen:
        """Its screen and keyboard, if it boots the image or has graphics."""
        return Screen(self.monitor(), self.directory)

    @property
    def sockets(self) -> dict[str, str]:
        """Where the serial console and QEMU's monitor are."""
        return {"serial": str(self._sockets / "serial"), "monitor": str(self._sockets / "qmp")}


def connect(path: Path, timeout: float, is_running: Callable[[], bool]) -> socket.socket:
    """Connects to one of QEMU's sockets, as soon as it is there."""
    deadline = time.monotonic() + timeout
    while True:
        stream = socket.socket(socket.AF_UNIX)
        try:
            stream.connect(str(path))
            return stream
        except OSError:
            stream.close()
            if not is_running() or time.monotonic() > deadline:
                raise RuntimeError("QEMU did not start") from None
            time.sleep(0.02)  # QEMU tells nobody that its sockets are there


def _start(
    arguments: list[str], environment: dict[str, str] | None, directory: str, output: str = "", detached: bool = False
) -> bytes:
    variables = [f"{name}={value}" for name, value in (environment or {}).items()]
    return (
        struct.pack("<I", detached) + channel.string(directory) + channel.string(output) + channel.strings(arguments)
        + channel.strings(variables))


def _relay_out(source: socket.socket, target: channel.Channel) -> None:
    try:
        while data := source.recv(65_536):
            target.write(data)
        target.write_end()
    except OSError:
        target.close()


def _relay_in(source: channel.Channel, target: socket.socket) -> None:
    try:
        while data := source.read(1):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        source.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _end_with_parent() -> None:
    """Runs in the child before QEMU: it gets no signals from our terminal, and dies when we do."""
    os.setsid()
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
