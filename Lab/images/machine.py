"""A plain QEMU machine without any Wafer in it, to show that an image works before it is used as a guest of ours."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from .workshop import BuildError


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Machine:
    """One running QEMU: its serial line as a growing text, its monitor, and how it ended."""

    def __init__(self, folder: Path, arguments: Sequence[str]):
        self.started = time.monotonic()
        self._said = ""  # all of the console so far
        self._read = 0  # how much of it was expected already
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / "serial"))
        self._listener.listen(1)
        self._process = subprocess.Popen(
            [
                *("qemu-system-x86_64", "-nodefaults", "-display", "none", "-no-reboot"),
                *("-chardev", f"socket,id=serial,path={folder / 'serial'}", "-serial", "chardev:serial"),
                *("-qmp", f"unix:{folder / 'qmp'},server=on,wait=off"),
                *arguments,
            ],
            stdin=subprocess.DEVNULL,
        )
        self._listener.settimeout(30)
        self._serial, _ = self._listener.accept()
        self._monitor = socket.socket(socket.AF_UNIX)
        while True:
            with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
                self._monitor.connect(str(folder / "qmp"))
                break
            if self._process.poll() is not None:
                raise BuildError(f"QEMU ended at once with status {self._process.returncode}")
            time.sleep(0.02)
        self._answers = self._monitor.makefile("r")
        self._answers.readline()
        self.command("qmp_capabilities")

    def expect(self, text: str, timeout: float) -> float:
        """Waits until the console has said `text` (after what was expected before); answers the seconds since power-on."""
        return self.expect_all(text, timeout=timeout)[text]

    def expect_all(self, *texts: str, timeout: float) -> dict[str, float]:
        """Waits for several texts in any order; answers for each the seconds since power-on."""
        deadline = time.monotonic() + timeout
        found: dict[str, float] = {}
        while True:
            found |= {text: time.monotonic() - self.started for text in texts if text not in found and text in self._said[self._read :]}
            missing = [text for text in texts if text not in found]
            if not missing:
                self._read = max(self._said.index(text, self._read) + len(text) for text in texts)
                return found
            self._hear(deadline, missing[0])

    def line_with(self, text: str, timeout: float = 10) -> str:
        """The last line so far that has `text` in it, waiting for its end."""
        start = self._said.rindex(text)
        deadline = time.monotonic() + timeout
        while "\n" not in self._said[start:]:
            self._hear(deadline, "the end of a line")
        return text + self._said[start:].partition("\n")[0].removeprefix(text).rstrip()

    def _hear(self, deadline: float, wanted: str) -> None:
        self._serial.settimeout(max(deadline - time.monotonic(), 0.001))
        try:
            more = self._serial.recv(65536)
        except TimeoutError:
            raise BuildError(f"no `{wanted}` on the console in time; it said last:\n{self._said[-2000:]}") from None
        if not more:
            raise BuildError(f"the machine ended before `{wanted}`; it said last:\n{self._said[-2000:]}")
        self._said += more.decode(errors="replace")

    def processor_time(self) -> float:
        """Seconds of processor time used so far: on a busy machine a truer figure than the clock's."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def type(self, text: str) -> None:
        self._serial.sendall(text.encode())

    def command(self, name: str, **arguments) -> object:
        """One monitor command; events that come in between are passed over."""
        self._monitor.sendall(json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n")
        while True:
            answer = json.loads(self._answers.readline() or "{}")
            if "error" in answer:
                raise BuildError(f"QEMU refused {name}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]
            if not answer:
                raise BuildError(f"QEMU ended during {name}")

    def ended(self, timeout: float) -> float:
        """Waits for the machine to switch itself off; answers how long that took."""
        start = time.monotonic()
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise BuildError(f"the machine did not switch off in {timeout:.0f} s") from None
        return time.monotonic() - start

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        for end in (self._serial, self._monitor, self._listener):
            end.close()


@contextlib.contextmanager
def machine(*arguments: str | Path) -> Iterator[Machine]:
    with tempfile.TemporaryDirectory(prefix="wafer-", dir=os.environ.get("TMPDIR", "/tmp")) as folder:
        running = Machine(Path(folder), [str(argument) for argument in arguments])
        try:
            yield running
        finally:
            running.close()
