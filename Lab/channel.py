"""The client of the lab channel (docs/formats/lab-channel.md)."""

import os
import select
import socket
import struct
import threading
import time
from typing import Callable, Iterable, Iterator

MAGIC = b"\0WAFLAB\n"
VERSION = 1
HELLO = struct.Struct("<8sIQ")
HEADER = struct.Struct("<IIB")
# Completes any frame an earlier client began, and then is no frame.
FILLER = bytes(131_072 + 8)
WINDOW = 262_144
DATA_MAX = 65_536

START, PUT, GET, CONNECT, LIST, PROCESSES, WAIT, MAKE_DIRECTORY, REMOVE, POWER = range(0x01, 0x0B)
DATA, END, CREDIT, SIGNAL, CLOSE = range(0x20, 0x25)
OPENED, EXITED, DONE, FAILED = range(0x40, 0x44)


def string(text: str | bytes) -> bytes:
    data = text.encode() if isinstance(text, str) else text
    return struct.pack("<I", len(data)) + data


def strings(items: Iterable[str]) -> bytes:
    items = list(items)
    return struct.pack("<I", len(items)) + b"".join(string(item) for item in items)


def frames(stream: socket.socket, received: bytes = b"") -> Iterator[tuple[int, int, bytes]]:
    """Channel, kind and body of each frame that comes, until the stream ends.

    `received` is what was read before.
    """
    buffer = bytearray(received)
    while True:
        offset = 0
        while len(buffer) - offset >= 4:
            (length,) = struct.unpack_from("<I", buffer, offset)
            if not 5 <= length <= 131_072:
                raise ValueError(f"a frame of {length} bytes came")
            if len(buffer) - offset < 4 + length:
                break
            _, number, kind = HEADER.unpack_from(buffer, offset)
            yield number, kind, bytes(buffer[offset + HEADER.size:offset + 4 + length])
            offset += 4 + length
        del buffer[:offset]
        data = stream.recv(1 << 20)
        if not data:
            return
        buffer += data


class Disconnected(ConnectionError):
    """The host, or the program between, went away."""


def greet(stream: socket.socket, timeout: float, alive: Callable[[], bool] = lambda: True) -> bytes:
    """Exchanges hellos with the host.

    Returns what came behind the host's. `alive` says whether it is worth while to go on waiting.
    """
    hello = HELLO.pack(MAGIC, VERSION, int.from_bytes(os.urandom(8), "little"))
    unsent = memoryview(FILLER + hello)
    deadline = time.monotonic() + timeout
    received = b""
    stream.setblocking(False)
    while hello not in received:
        if time.monotonic() > deadline:
            raise TimeoutError(f"the host did not open its lab channel within {timeout:.0f} s")
        if not alive():
            raise Disconnected("the host ended before it opened its lab channel")
        readable, writable, _ = select.select([stream], [stream] if unsent else [], [], 0.5)
        try:
            if writable:
                unsent = unsent[stream.send(unsent):]
            data = stream.recv(65_536) if readable else None
        except BlockingIOError:
            continue
        except ConnectionError:
            data = b""
        if data == b"":
            raise Disconnected("the lab channel was closed")
        received = received[-HELLO.size:] + (data or b"")
    stream.setblocking(True)
    return received.partition(hello)[2]


class Connection:
    """One client's end of a lab channel: many channels over one stream, usable from many threads."""

    def __init__(self, stream: socket.socket, timeout: float = 60, alive: Callable[[], bool] = lambda: True) -> None:
        self._stream = stream
        self._sending = threading.Lock()
        self._channels: dict[int, "Channel"] = {}
        self._next = 1
        self._failure: str | None = None
        # Guards everything above and in the channels; notified at every change.
        self.changed = threading.Condition()
        self._buffer = greet(stream, timeout, alive)
        threading.Thread(target=self._receive, name="lab channel", daemon=True).start()

    def close(self) -> None:
        """Ends the connection and with it whatever still runs on its channels."""
        try:
            self._stream.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._stream.close()

    @property
    def is_open(self) -> bool:
        return self._failure is None

    def open(self, kind: int, body: bytes = b"") -> "Channel":
        with self.changed:
            if self._failure:
                raise Disconnected(self._failure)
            number = self._next
            self._next += 1
            channel = self._channels[number] = Channel(self, number)
        self.send(number, kind, body)
        return channel

    def send(self, number: int, kind: int, body: bytes = b"") -> None:
        frame = HEADER.pack(5 + len(body), number, kind) + body
        try:
            with self._sending:
                self._stream.sendall(frame)
        except OSError as error:
            raise Disconnected(self._failure or f"the lab channel broke: {error}") from error

    def _receive(self) -> None:
        try:
            for number, kind, body in frames(self._stream, self._buffer):
                self._dispatch(number, kind, body)
            raise Disconnected("the host went away")
        except (OSError, ValueError) as error:
            with self.changed:
                self._failure = str(error) or "the lab channel was closed"
                for channel in self._channels.values():
                    channel.lost = self._failure
                self._channels.clear()
                self.changed.notify_all()

    def _dispatch(self, number: int, kind: int, body: bytes) -> None:
        with self.changed:
            channel = self._channels.get(number)
            if channel:
                channel.receive(kind, body)
                if channel.finished:
                    del self._channels[number]
            self.changed.notify_all()


class Channel:
    """One process, file or connection."""

    def __init__(self, connection: Connection, number: int) -> None:
        self.connection = connection
        self.number = number
        self.process: int | None = None
        self.opened = False
        self.finished = False
        self.status: int | None = None
        self.failure: OSError | None = None
        self.lost: str | None = None
        self._received = {1: bytearray(), 2: bytearray()}
        self._ended: set[int] = set()
        self._consumed = {1: 0, 2: 0}
        self._credit = WINDOW

    # Called with the connection's condition held.
    def receive(self, kind: int, body: bytes) -> None:
        if kind == OPENED:
            (self.process,) = struct.unpack("<I", body)
            self.opened = True
        elif kind == DATA:
            self._received[body[0]] += body[1:]
        elif kind == END:
            self._ended.add(body[0])
        elif kind == CREDIT:
            self._credit += struct.unpack("<BI", body)[1]
        elif kind == EXITED:
            how, value = struct.unpack("<BI", body)
            self.status = -value if how else value
            self.finished = True
        elif kind == DONE:
            self.finished = True
        elif kind == FAILED:
            number, length = struct.unpack_from("<II", body)
            self.failure = OSError(number, body[8:8 + length].decode(errors="replace"))
            self.finished = True

    def wait_until(self, condition: Callable[[], bool], timeout: float | None, what: str) -> None:
        """Waits for something that a frame brings about."""
        with self.connection.changed:
            if not self.connection.changed.wait_for(lambda: condition() or self.lost, timeout):
                raise TimeoutError(f"{what} took longer than {timeout:.0f} s")
            if not condition():
                raise Disconnected(self.lost)

    def wait_opened(self, timeout: float | None = 60) -> "Channel":
        self.wait_until(lambda: self.opened or self.finished, timeout, "the host's answer")
        if self.failure:
            raise self.failure
        return self

    def wait_finished(self, timeout: float | None = 60) -> int | None:
        """Waits for the channel's end; raises what it failed with."""
        self.wait_until(lambda: self.finished, timeout, "the operation")
        if self.failure:
            raise self.failure
        return self.status

    def read(self, stream: int = 1, timeout: float | None = None, limit: int = 1 << 30) -> bytes:
        """What has come on a stream, at least a byte; nothing at its end."""
        buffer = self._received[stream]
        self.wait_until(lambda: buffer or stream in self._ended or self.finished, timeout, "reading from the host")
        with self.connection.changed:
            data = bytes(buffer[:limit])
            del buffer[:len(data)]
            self._consumed[stream] += len(data)
            give = self._consumed[stream] if self._consumed[stream] >= WINDOW // 4 else 0
            self._consumed[stream] -= give
            wanted = give and not self.finished and stream not in self._ended
        if wanted:
            self.connection.send(self.number, CREDIT, struct.pack("<BI", stream, give))
        return data

    def has_data(self, stream: int) -> bool:
        return bool(self._received[stream])

    def has_ended(self, stream: int) -> bool:
        return not self._received[stream] and (stream in self._ended or self.finished)

    def write(self, data: bytes, timeout: float | None = None) -> None:
        view = memoryview(data)
        while view:
            self.wait_until(lambda: self._credit > 0 or self.finished, timeout, "writing to the host")
            with self.connection.changed:
                if self.finished:
                    raise self.failure or BrokenPipeError("the other side has ended")
                piece = view[:min(self._credit, DATA_MAX)]
                self._credit -= len(piece)
            self.connection.send(self.number, DATA, b"\0" + bytes(piece))
            view = view[len(piece):]

    def write_end(self) -> None:
        if not self.finished:
            self.connection.send(self.number, END, b"\0")

    def close(self) -> None:
        """Forgets it: its process is killed, its connection closed."""
        if not self.finished and self.connection.is_open:
            try:
                self.connection.send(self.number, CLOSE)
            except Disconnected:
                pass
