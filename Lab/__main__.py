"""`python3 -m Lab COMMAND`: simulated servers for people and tests."""

import argparse
import socket
import sys
from pathlib import Path

from . import keeper, kernel, paths, session, terminal
from .channel import DATA_MAX
from .host import Host
from .progress import say


def main() -> int:
    arguments = _parse()
    try:
        return arguments.run(arguments) or 0
    except keeper.NotUp as error:
        print(f"lab: {error}", file=sys.stderr)
        return 3
    except (OSError, RuntimeError, TimeoutError, session.Failed) as error:
        print(f"lab: {error}", file=sys.stderr)
        for note in getattr(error, "__notes__", []):
            print(note, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 -m Lab", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(run=run)
        return added

    for name, run, text in [
        ("up", _up, "start a host that stays in the background"),
        ("keep", _keep, "run a host in the foreground and share its channel (up starts this)"),
    ]:
        added = command(name, run, text)
        added.add_argument("--cpus", type=int, default=2)
        added.add_argument("--memory", type=int, default=2048, metavar="MIB")
        added.add_argument("--append", action="append", default=[], metavar="WORD", help="for the kernel's command line")
        added.add_argument("--vms", action="store_true", help="with the data disk of sample VMs on /vms")
        added.add_argument("--bench", action="store_true", help="with the peers' userland on /bench, and --vms")
    command("down", _down, "end the background host")
    command("status", _status, "say how to reach the background host")
    added = command("exec", _exec, "run a command on the background host")
    added.add_argument("--root", default="", help="with this directory as the root, such as /bench")
    added.add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND …")
    added = command("put", _put, "copy a file to the background host")
    added.add_argument("source", type=Path)
    added.add_argument("target")
    added.add_argument("--mode", type=lambda text: int(text, 8), default=0o644)
    added = command("get", _get, "copy a file from the background host (- for standard output)")
    added.add_argument("source")
    added.add_argument("target", type=Path)
    command("ps", _processes, "list the background host's processes")
    added = command("console", _console, "attach to the background host's serial console, or a VM's")
    added.add_argument("socket", nargs="?", help="a VM's console socket on the host")
    command("kernel", lambda _: kernel.get() and None, "fetch Debian's kernel")
    command("run", lambda _: session.run(), "boot a Debian guest in our vmx and attach to its console")
    command("smoke", lambda _: session.smoke(), "the same unattended: succeed once the guest has answered over its network")
    return parser.parse_args()


def _options(arguments: argparse.Namespace) -> list[str]:
    options = [f"--cpus={arguments.cpus}", f"--memory={arguments.memory}"]
    options += [f"--append={word}" for word in arguments.append]
    return options + ["--vms"] * arguments.vms + ["--bench"] * arguments.bench


def _up(arguments: argparse.Namespace) -> None:
    print(keeper.describe(keeper.up(_options(arguments))))


def _keep(arguments: argparse.Namespace) -> None:
    machine = session.machine(arguments.cpus, arguments.memory)
    flavour = session.bench_flavour() if arguments.bench else session.vms_flavour() if arguments.vms else None
    keeper.keep(Host(f"background-{paths.STATE.stem}", machine, flavour, arguments.append))


def _down(_: argparse.Namespace) -> None:
    keeper.down()
    say("the host is off")


def _status(_: argparse.Namespace) -> None:
    print(keeper.describe(keeper.state()))


def _exec(arguments: argparse.Namespace) -> int:
    words = arguments.words[1:] if arguments.words[:1] == ["--"] else arguments.words
    if not words:
        raise RuntimeError("exec needs a command")
    host = keeper.attach()
    process = host.popen(words, root=arguments.root)
    feed = None if sys.stdin.isatty() else sys.stdin.buffer
    status = process.forward(feed, sys.stdout.buffer, sys.stderr.buffer, DATA_MAX)
    return status if status >= 0 else 128 - status


def _put(arguments: argparse.Namespace) -> None:
    keeper.attach().put(arguments.source, arguments.target, arguments.mode)


def _get(arguments: argparse.Namespace) -> None:
    data = keeper.attach().get(arguments.source)
    if str(arguments.target) == "-":
        sys.stdout.buffer.write(data)
    else:
        arguments.target.write_bytes(data)


def _processes(_: argparse.Namespace) -> None:
    print("   PID PARENT S  RSS-KIB THREADS FILES COMMAND")
    for one in keeper.attach().processes():
        print(f"{one.pid:6} {one.parent:6} {one.state} {one.rss_kib:8} {one.threads:7} {one.descriptors:5} {one.command}")


def _console(arguments: argparse.Namespace) -> None:
    if arguments.socket:
        terminal.attach(keeper.attach().connect_unix(arguments.socket))
        return
    console = socket.socket(socket.AF_UNIX)
    console.connect(keeper.state()["serial_socket"])
    terminal.attach(console)


if __name__ == "__main__":
    sys.exit(main())
