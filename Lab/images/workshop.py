"""What every image recipe shares: where things are, running commands, rebuilding only what changed, and saying how long it took."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
RECIPES = Path(__file__).resolve().parent
BUILD = Path(os.environ.get("WAFER_BUILD_DIR", REPOSITORY / "build"))
CACHE = BUILD / "cache"

SECTOR = 512
MIB = 1 << 20


class BuildError(Exception):
    """A build step failed; the text is a sentence for the person who typed `make`."""


def say(text: str) -> None:
    print(f"images: {text}", flush=True)


@contextlib.contextmanager
def timed(what: str) -> Iterator[None]:
    """Says what is being done, and afterwards how long it took."""
    say(f"{what} ...")
    start = time.monotonic()
    yield
    say(f"{what}: {time.monotonic() - start:.1f} s")


def run(argv: Sequence[str | Path], log: Path | None = None, **options) -> None:
    """Runs a command. With a log file its output goes there, and the file's end is shown if it fails."""
    words = [str(word) for word in argv]
    options.setdefault("umask", 0o022)  # a private umask of the caller's must not end up in a tree's folders
    if log is None:
        status = subprocess.run(words, check=False, **options).returncode
        tail = ""
    else:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as sink:
            status = subprocess.run(words, check=False, stdout=sink, stderr=sink, stdin=subprocess.DEVNULL, **options).returncode
        lines = log.read_text(errors="replace").splitlines()[-25:] if status else []
        tail = "".join(f"\n    {line}" for line in lines) + f"\n  (all of it: {log})" if status else ""
    if status:
        raise BuildError(f"`{' '.join(words[:3])} ...` failed with status {status}{tail}")


def as_root(argv: Sequence[str | Path]) -> list[str | Path]:
    """The command, through sudo when we are not root: unpacking a Debian tree needs its file owners to be real."""
    if os.geteuid() == 0:
        return list(argv)
    if shutil.which("sudo") is None:
        raise BuildError("mmdebstrap must run as root and there is no sudo; run this as root, or install and allow sudo")
    return ["sudo", "--", *argv]


def need(*programs: str) -> None:
    """Refuses with the list of what `make deps` would have installed."""
    os.environ["PATH"] += ":/usr/sbin:/sbin"  # a plain user's path lacks mke2fs
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        raise BuildError(f"not installed: {', '.join(missing)}; run `make deps`")


def digest(inputs: Iterable[Path | str]) -> str:
    """A fingerprint of files, folders (names, modes and contents) and plain texts."""
    total = hashlib.sha256()
    for item in inputs:
        if isinstance(item, str):
            total.update(b"text\0" + item.encode() + b"\0")
            continue
        files = [item] if item.is_file() else sorted(path for path in item.rglob("*") if path.is_file())
        for path in files:
            executable = b"x" if path.stat().st_mode & 0o100 else b"-"
            total.update(str(path.relative_to(item.parent)).encode() + b"\0" + executable)
            total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


class Product:
    """A set of files made together, and the stamp that says from which inputs."""

    def __init__(self, name: str, files: Sequence[Path], inputs: Iterable[Path | str]):
        self.name = name
        self.files = list(files)
        self.stamp = CACHE / f"{name}.stamp"
        self.fingerprint = digest(inputs)

    def fresh(self) -> bool:
        try:
            recorded = json.loads(self.stamp.read_text())
        except (OSError, ValueError):
            return False
        return recorded.get("inputs") == self.fingerprint and all(path.exists() for path in self.files)

    def done(self) -> None:
        CACHE.mkdir(parents=True, exist_ok=True)
        self.stamp.write_text(json.dumps({"inputs": self.fingerprint, "files": [str(path) for path in self.files]}) + "\n")

    def forget(self) -> None:
        self.stamp.unlink(missing_ok=True)


@contextlib.contextmanager
def exclusive() -> Iterator[None]:
    """One image build at a time in one build folder; the second waits and then finds its work done."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "images.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another image build in this folder")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def remove_tree(path: Path) -> None:
    """Removes a tree that may belong to root. Refuses anything outside the build folder."""
    if BUILD.resolve() not in path.resolve().parents:
        raise BuildError(f"refusing to remove {path}: it is not inside {BUILD}")
    if path.exists():
        run(as_root(["rm", "-rf", "--one-file-system", path]))


def give_back(*paths: Path) -> None:
    """Makes files that sudo created belong to the caller again."""
    if os.geteuid() != 0:
        run(as_root(["chown", f"{os.getuid()}:{os.getgid()}", *paths]))


def sparse_size(path: Path) -> str:
    """Size as seen and size as stored, for messages."""
    status = path.stat()
    return f"{status.st_size / MIB:.0f} MiB ({status.st_blocks * 512 / MIB:.0f} MiB stored)"


def fail(error: Exception) -> None:
    print(f"images: {error}", file=sys.stderr)
    sys.exit(1)
