"""Saying what is going on and how long it has taken, and not doing it twice at a time."""

import fcntl
import sys
import time
from contextlib import contextmanager

from .paths import LAB

_begin = time.monotonic()


def say(text: str) -> None:
    """Prints one line with the time since the program began."""
    print(f"[{time.monotonic() - _begin:6.1f} s] {text}", file=sys.stderr, flush=True)


@contextmanager
def step(text: str):
    """Says what begins now, and when it has taken more than a moment, how long it took."""
    say(f"{text} …")
    start = time.monotonic()
    yield
    took = time.monotonic() - start
    if took >= 1:
        say(f"{text}: {took:.1f} s")


@contextmanager
def exclusive():
    """One program at a time makes what all of them use; the next finds it made."""
    LAB.mkdir(parents=True, exist_ok=True)
    with (LAB / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
