"""Shares one host's lab channel among many programs.

QEMU lets one program at a time hold the other end of a virtio-serial port. The program that keeps a background host is that
one; it listens on a socket where others speak the same protocol, and gives their channels numbers that do not clash.
"""

import queue
import socket
import struct
import threading
from pathlib import Path

from .channel import CLOSE, DONE, EXITED, FAILED, FILLER, HEADER, HELLO, MAGIC, VERSION, frames

FINAL = (EXITED, DONE, FAILED)


class Broker:
    """Serves clients on a Unix socket until the host ends."""

    def __init__(self, port: socket.socket, path: Path) -> None:
        """`port` is the host's end, its hello exchanged and nothing open on it."""
        self._port = port
        self._sending = threading.Lock()
        # Guards what follows.
        self._lock = threading.Lock()
        self._next = 1
        self._owners: dict[int, tuple["_Client", int]] = {}
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        path.chmod(0o600)
        self._listener.listen(64)
        self._clients: set[_Client] = set()

    def serve(self, received: bytes = b"") -> None:
        """Runs until the host goes away."""
        threading.Thread(target=self._accept, name="broker", daemon=True).start()
        try:
            for number, kind, body in frames(self._port, received):
                with self._lock:
                    client, local = self._owners.get(number, (None, 0))
                    if kind in FINAL:
                        self._owners.pop(number, None)
                        if client:
                            client.numbers.pop(local, None)
                if client:
                    client.send(local, kind, body)
        except (OSError, ValueError):
            pass
        self._listener.close()
        with self._lock:
            clients = list(self._clients)
        for client in clients:
            client.end()

    def forward(self, client: "_Client", local: int, kind: int, body: bytes) -> None:
        """Passes a client's frame on to the host."""
        with self._lock:
            number = client.numbers.get(local)
            if number is None:
                # Frames that cross the channel's end mean nothing; requests open a channel.
                if 0x20 <= kind < 0x40:
                    return
                number, self._next = self._next, self._next % 0xFFFFFFFF + 1
                client.numbers[local] = number
                self._owners[number] = (client, local)
        self._write(number, kind, body)

    def forget(self, client: "_Client") -> None:
        """A client left: what it had running ends."""
        with self._lock:
            self._clients.discard(client)
            numbers = list(client.numbers.values())
            client.numbers.clear()
            for number in numbers:
                self._owners.pop(number, None)
        for number in numbers:
            try:
                self._write(number, CLOSE, b"")
            except OSError:
                return

    def _write(self, number: int, kind: int, body: bytes) -> None:
        with self._sending:
            self._port.sendall(HEADER.pack(5 + len(body), number, kind) + body)

    def _accept(self) -> None:
        while True:
            try:
                stream, _ = self._listener.accept()
            except OSError:
                return
            client = _Client(self, stream)
            with self._lock:
                self._clients.add(client)
            client.start()


class _Client:
    """One connected program. What is queued for it is bounded by its channels' credit."""

    def __init__(self, broker: Broker, stream: socket.socket) -> None:
        self.numbers: dict[int, int] = {}
        self._broker = broker
        self._stream = stream
        self._queue: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()

    def start(self) -> None:
        threading.Thread(target=self._receive, daemon=True).start()
        threading.Thread(target=self._transmit, daemon=True).start()

    def send(self, local: int, kind: int, body: bytes) -> None:
        self._queue.put(HEADER.pack(5 + len(body), local, kind) + body)

    def end(self) -> None:
        self._queue.put(None)

    def _transmit(self) -> None:
        try:
            while (data := self._queue.get()) is not None:
                self._stream.sendall(data)
            self._stream.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def _receive(self) -> None:
        try:
            self._stream.recv(len(FILLER), socket.MSG_WAITALL)
            hello = self._stream.recv(HELLO.size, socket.MSG_WAITALL)
            if len(hello) == HELLO.size and HELLO.unpack(hello)[:2] == (MAGIC, VERSION):
                self._queue.put(hello)
                for number, kind, body in frames(self._stream):
                    self._broker.forward(self, number, kind, body)
        except (OSError, ValueError, struct.error):
            pass
        self._broker.forget(self)
        self.end()
