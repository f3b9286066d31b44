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
        self._text = ""
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
        self._read_until(text, timeout)
        self._text = self._text.partition(text)[2]
        return time.monotonic() - self.started

    def rest_of_line(self, timeout: float = 10) -> str:
        """What follows what was expected last, to the end of its line."""
        self._read_until("\n", timeout)
        line, _, self._text = self._text.partition("\n")
        return line.strip()

    def _read_until(self, text: str, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while text not in self._text:
            self._serial.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                more = self._serial.recv(65536)
            except TimeoutError:
                raise BuildError(f"no `{text}` on the console in {timeout:.0f} s; it said last:\n{self._text[-2000:]}") from None
            if not more:
                raise BuildError(f"the machine ended before `{text}`; it said last:\n{self._text[-2000:]}")
            self._text += more.decode(errors="replace")

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
