"""A person's terminal connected to a console."""

import os
import select
import socket
import sys
import termios
import tty

LEAVE = b"\x1d"  # Ctrl-]


def attach(console: socket.socket) -> None:
    """Connects the terminal and the console until Ctrl-] is typed or the console ends."""
    interactive = sys.stdin.isatty()
    print("connected; Ctrl-] leaves\r", file=sys.stderr, flush=True)
    saved = termios.tcgetattr(0) if interactive else None
    try:
        if interactive:
            tty.setraw(0)
        sources = [console, 0]
        while True:
            ready, _, _ = select.select(sources, [], [])
            if console in ready:
                data = console.recv(65_536)
                if not data:
                    return
                os.write(1, data)
            if 0 in ready:
                typed = os.read(0, 4096)
                if not typed:
                    sources.remove(0)
                elif interactive and LEAVE in typed:
                    console.sendall(typed.partition(LEAVE)[0])
                    return
                else:
                    console.sendall(typed)
    finally:
        if saved:
            termios.tcsetattr(0, termios.TCSADRAIN, saved)
            print("\r\nleft the console\r", file=sys.stderr)
