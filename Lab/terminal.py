"""A person's terminal connected to a console."""

import contextlib
import os
import select
import socket
import sys
import termios
import tty
from dataclasses import dataclass

LEAVE = b"\x1d"  # Ctrl-]
QUIT = "q"
# What a full-screen program paints its screen anew for.
REPAINT = b"\x0c"  # Ctrl-L
# What is kept of a console that scrolls, to be shown when somebody turns to it.
HISTORY = 16_384


@dataclass
class Console:
    """One of several consoles that a terminal can show."""

    name: str
    connection: socket.socket
    # A full-screen program: it is asked to paint its screen, where others' last lines are shown again.
    paints: bool = False
    seen: bytes = b""


def attach(console: socket.socket) -> None:
    """Connects the terminal and the console until Ctrl-] is typed or the console ends."""
    print("connected; Ctrl-] leaves\r", file=sys.stderr, flush=True)
    with _raw() as interactive:
        _relay({QUIT: Console("", console)}, QUIT, interactive)


def attach_several(consoles: dict[str, Console]) -> None:
    """Connects the terminal to the first of several consoles, by key. Ctrl-] and a key goes to another one, Ctrl-] and q leaves."""
    keys = ", ".join(f"Ctrl-] {key}: {console.name}" for key, console in consoles.items())
    print(f"{keys}, Ctrl-] {QUIT}: leave\r", file=sys.stderr, flush=True)
    with _raw() as interactive:
        key = _relay(consoles, next(iter(consoles)), interactive)
    if key != QUIT:
        print(f"{consoles[key].name} has ended\r", file=sys.stderr)


@contextlib.contextmanager
def _raw():
    """The terminal without a mind of its own, if there is one."""
    interactive = sys.stdin.isatty()
    saved = termios.tcgetattr(0) if interactive else None
    try:
        if interactive:
            tty.setraw(0)
        yield interactive
    finally:
        if saved:
            # Whatever a program on the other side had switched: colours, another screen, a hidden cursor.
            os.write(1, b"\x1b[0m\x1b[?1049l\x1b[?25h")
            termios.tcsetattr(0, termios.TCSADRAIN, saved)
            print("\r\nleft the console\r", file=sys.stderr)


def _relay(consoles: dict[str, Console], shown: str, interactive: bool) -> str:
    """Until the shown console ends, or the person leaves; returns its key, or QUIT."""
    sources = [*(console.connection for console in consoles.values()), 0]
    is_command = False
    _show(consoles[shown])
    while True:
        ready, _, _ = select.select(sources, [], [])
        for key, console in consoles.items():
            if console.connection not in ready:
                continue
            data = console.connection.recv(65_536)
            console.seen = (console.seen + data)[-HISTORY:]
            if key == shown:
                if not data:
                    return key
                os.write(1, data)
            elif not data:
                sources.remove(console.connection)
        if 0 not in ready:
            continue
        typed = os.read(0, 4096)
        if not typed:
            sources.remove(0)
        elif not interactive:
            consoles[shown].connection.sendall(typed)
        while typed and interactive:
            if is_command:
                is_command = False
                key, typed = typed[:1].decode("latin-1"), typed[1:]
                if key == QUIT:
                    return QUIT
                if key in consoles:
                    shown = key
                    os.write(1, b"\x1b[0m\x1b[?25h\x1b[2J\x1b[H")
                    _show(consoles[shown])
                continue
            text, leave, typed = typed.partition(LEAVE)
            consoles[shown].connection.sendall(text)
            if leave:
                if len(consoles) == 1:
                    return QUIT
                is_command = True


def _show(console: Console) -> None:
    if console.paints:
        console.connection.sendall(REPAINT)
    else:
        os.write(1, console.seen)
