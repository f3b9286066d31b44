"""A person's terminal connected to a console."""

import contextlib
import os
import select
import socket
import sys
import termios
import tty

LEAVE = b"\x1d"  # Ctrl-]
QUIT = "q"
# What a full-screen program paints its screen anew for.
REPAINT = b"\x0c"  # Ctrl-L


def attach(console: socket.socket) -> None:
    """Connects the terminal and the console until Ctrl-] is typed or the console ends."""
    print("connected; Ctrl-] leaves\r", file=sys.stderr, flush=True)
    with _raw() as interactive:
        _relay({QUIT: console}, QUIT, interactive, b"")


def attach_several(consoles: dict[str, tuple[str, socket.socket]]) -> None:
    """Connects the terminal to the first of several consoles, by key: what it is, and its connection. Ctrl-] and a key goes to another one,
    Ctrl-] and q leaves."""
    keys = ", ".join(f"Ctrl-] {key}: {name}" for key, (name, _) in consoles.items())
    print(f"{keys}, Ctrl-] {QUIT}: leave\r", file=sys.stderr, flush=True)
    with _raw() as interactive:
        key = _relay({key: console for key, (_, console) in consoles.items()}, next(iter(consoles)), interactive, REPAINT)
    if key != QUIT:
        print(f"{consoles[key][0]} has ended\r", file=sys.stderr)


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


def _relay(consoles: dict[str, socket.socket], shown: str, interactive: bool, greeting: bytes) -> str:
    """Until the shown console ends, or the person leaves; returns its key, or QUIT."""
    sources = [*consoles.values(), 0]
    is_command = False
    consoles[shown].sendall(greeting)
    while True:
        ready, _, _ = select.select(sources, [], [])
        for key, console in consoles.items():
            if console not in ready:
                continue
            data = console.recv(65_536)
            if key == shown:
                if not data:
                    return key
                os.write(1, data)
            elif not data:
                sources.remove(console)
        if 0 not in ready:
            continue
        typed = os.read(0, 4096)
        if not typed:
            sources.remove(0)
        elif not interactive:
            consoles[shown].sendall(typed)
        while typed and interactive:
            if is_command:
                is_command = False
                key, typed = typed[:1].decode("latin-1"), typed[1:]
                if key == QUIT:
                    return QUIT
                if key in consoles:
                    shown = key
                    os.write(1, b"\x1b[0m\x1b[2J\x1b[H")
                    consoles[shown].sendall(greeting)
                continue
            text, leave, typed = typed.partition(LEAVE)
            consoles[shown].sendall(text)
            if leave:
                if len(consoles) == 1:
                    return QUIT
                is_command = True
