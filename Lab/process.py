"""Processes on a simulated host, and what they leave behind."""

import re
import signal as signals
import struct
import threading
import time
from dataclasses import dataclass

from .channel import SIGNAL, Channel


@dataclass
class Result:
    """How a process ended. A negative status is the signal that ended it."""

    arguments: list[str]
    status: int
    output: bytes
    errors: bytes
    seconds: float

    @property
    def text(self) -> str:
        return self.output.decode(errors="replace")

    def check(self) -> "Result":
        """Raises if it failed."""
        if self.status:
            said = (self.errors or self.output).decode(errors="replace").strip()
            raise RuntimeError(f"{' '.join(self.arguments)} ended with status {self.status}: {said}")
        return self


class Process:
    """A running process on a host."""

    def __init__(self, channel: Channel, arguments: list[str]) -> None:
        self.channel = channel
        self.arguments = arguments
        self.pid = channel.process
        self._began = time.monotonic()
        self._seen = {1: bytearray(), 2: bytearray()}

    def write(self, data: bytes | str, timeout: float | None = 60) -> None:
        """Writes to its standard input."""
        self.channel.write(data.encode() if isinstance(data, str) else data, timeout)

    def close_input(self) -> None:
        self.channel.write_end()

    def read(self, stream: int = 1, timeout: float | None = None) -> bytes:
        """The next piece of its output (1) or errors (2); nothing at the end."""
        data = self.channel.read(stream, timeout)
        self._seen[stream] += data
        return data

    def expect(self, pattern: str | bytes, timeout: float = 60, stream: int = 1) -> re.Match:
        """Reads until the pattern is in what was read and not yet matched."""
        expression = re.compile(pattern.encode() if isinstance(pattern, str) else pattern)
        deadline = time.monotonic() + timeout
        while not (match := expression.search(self._seen[stream])):
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"{pattern!r} did not come within {timeout:.0f} s in {bytes(self._seen[stream])[-500:]!r}")
            try:
                data = self.read(stream, left)
            except TimeoutError:
                continue
            if not data:
                raise EOFError(f"the output ended before {pattern!r}: {bytes(self._seen[stream])[-500:]!r}")
        found = expression.search(bytes(self._seen[stream]))
        del self._seen[stream][:match.end()]
        return found

    def communicate(self, data: bytes | None = None, timeout: float | None = 60) -> Result:
        """Sends all the input, takes all output, waits for the end."""
        deadline = None if timeout is None else time.monotonic() + timeout
        left = lambda: None if deadline is None else max(0.001, deadline - time.monotonic())
        channel = self.channel
        # In a thread of its own: a process may answer before it has read everything.
        feeder = threading.Thread(target=self._feed, args=(data or b"", timeout), daemon=True)
        feeder.start()
        try:
            while True:
                ready = lambda: channel.has_data(1) or channel.has_data(2) or channel.finished
                channel.wait_until(ready, left(), f"{self.arguments[0]}")
                for stream in (1, 2):
                    if channel.has_data(stream):
                        self.read(stream)
                if channel.finished and not channel.has_data(1) and not channel.has_data(2):
                    break
        except TimeoutError:
            self.channel.close()
            raise
        if channel.failure:
            raise channel.failure
        return Result(
            self.arguments, channel.status, bytes(self._seen[1]), bytes(self._seen[2]), time.monotonic() - self._began)

    def _feed(self, data: bytes, timeout: float | None) -> None:
        try:
            self.channel.write(data, timeout)
            self.close_input()
        except (OSError, TimeoutError):
            pass  # it ended without reading all of it

    def wait(self, timeout: float | None = 60) -> int:
        """Waits for its end.

        A process that fills its output without anybody reading it does not end.
        """
        return self.channel.wait_finished(timeout)

    def forward(self, feed, output, errors, piece: int) -> int:
        """Joins its streams to files here until it ends; returns its status."""
        def feeding() -> None:
            try:
                while feed and (data := feed.read1(piece)):
                    self.channel.write(data)
                self.channel.write_end()
            except OSError:
                pass

        threading.Thread(target=feeding, daemon=True).start()
        channel = self.channel
        while True:
            channel.wait_until(lambda: channel.has_data(1) or channel.has_data(2) or channel.finished, None, "it")
            for stream, target in ((1, output), (2, errors)):
                if channel.has_data(stream):
                    target.write(channel.read(stream))
                    target.flush()
            if channel.finished and not channel.has_data(1) and not channel.has_data(2):
                break
        if channel.failure:
            raise channel.failure
        return channel.status

    @property
    def ended(self) -> bool:
        return self.channel.finished

    def signal(self, number: int = signals.SIGTERM) -> None:
        """Sends a signal to it and its children."""
        self.channel.connection.send(self.channel.number, SIGNAL, struct.pack("<I", number))

    def kill(self) -> None:
        self.signal(signals.SIGKILL)

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_) -> None:
        self.channel.close()
