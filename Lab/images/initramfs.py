"""An initramfs archive (the kernel's "newc" cpio, Documentation/driver-api/early-userspace/buffer-format.rst), written without root."""

from __future__ import annotations

import stat
from pathlib import Path


class Archive:
    """Collects folders, files, links and device nodes, all owned by root, and writes them out uncompressed.

    Uncompressed on purpose: the whole is a few MiB, and to unpack even LZ4 under emulation costs more than to copy it.
    """

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._count = 0
        self._folders: set[str] = set()

    def folder(self, path: str, mode: int = 0o755) -> None:
        if path and path not in self._folders:
            self._folders.add(path)
            self._parent(path)
            self._entry(path, stat.S_IFDIR | mode)

    def file(self, path: str, content: bytes, mode: int = 0o644) -> None:
        self._parent(path)
        self._entry(path, stat.S_IFREG | mode, content)

    def link(self, path: str, target: str) -> None:
        self._parent(path)
        self._entry(path, stat.S_IFLNK | 0o777, target.encode())

    def character_device(self, path: str, major: int, minor: int, mode: int = 0o600) -> None:
        self._parent(path)
        self._entry(path, stat.S_IFCHR | mode, device=(major, minor))

    def write(self, path: Path) -> None:
        path.write_bytes(self.finish())

    def finish(self) -> bytes:
        """The whole archive; nothing may be added after this."""
        self._entry("TRAILER!!!", 0)
        self._bytes += bytes(-len(self._bytes) % 512)
        return bytes(self._bytes)

    def _parent(self, path: str) -> None:
        self.folder(path.rpartition("/")[0])

    def _entry(self, path: str, mode: int, content: bytes = b"", device: tuple[int, int] = (0, 0)) -> None:
        self._count += 1
        name = path.encode() + b"\0"
        # inode, mode, uid, gid, links, mtime, size, device of the file, device of the node, name's length, checksum (unused)
        fields = [self._count, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(name), 0]
        self._bytes += b"070701" + b"".join(b"%08X" % field for field in fields) + name
        self._bytes += bytes(-len(self._bytes) % 4)
        self._bytes += content
        self._bytes += bytes(-len(self._bytes) % 4)
