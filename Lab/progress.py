"""Lines that tell a person what is going on and how long it has taken."""

import sys
import time
from contextlib import contextmanager

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
