"""`make run` and `make smoke`: from a clean clone to a Debian guest in our own virtual machine monitor."""

import socket
import time

from . import terminal
from .host import Flavour, Host
from .images import bench, data
from .images.workshop import BuildError, exclusive
from .process import Process
from .progress import say, step
from .qemu import Disk, Machine

# The first guest to ask gets this address from QEMU's DHCP server; the host's own is outside that server's range.
GUEST = "10.0.2.15"
VM = "/vms/vms/debian12"
HELLO_PORT = 7777


class Failed(Exception):
    """What was to be shown did not happen."""


def machine(cpus: int = 2, memory_mib: int = 2048) -> Machine:
    """A host whose first guest's SSH and greeting can be reached from here."""
    return Machine(cpus, memory_mib, forwards={0: (GUEST, 22), -1: (GUEST, HELLO_PORT)})


def vms_flavour() -> Flavour:
    """With the sample VMs on /vms."""
    _build(data)
    return Flavour("vms", ["wafer.mount=SERIAL=vmdata:/vms:ext4"], [Disk(data.IMAGE, "vmdata", temporary=True)])


def bench_flavour() -> Flavour:
    """With QEMU, fio and iperf3 on /bench, and the sample VMs."""
    _build(bench)
    vms = vms_flavour()
    return Flavour(
        "bench", [*vms.append, "wafer.mount=SERIAL=bench:/bench:ext4:ro"],
        [*vms.disks, Disk(bench.IMAGE, "bench", read_only=True)])


def _build(recipe) -> None:
    try:
        with exclusive():
            recipe.build()
    except BuildError as error:
        raise Failed(f"the images could not be made: {error}") from error


def run() -> None:
    """For a person: ends with their terminal on the guest's console."""
    with step("making the guest's disk"):
        flavour = vms_flavour()
    host = Host("run", machine(), flavour)
    with step("booting the host"):
        host.start()
    try:
        vmx, console = _start_guest(host)
        ports = {port: here for here, (_, port) in host.machine.forwards.items()}
        say(f"the guest's SSH is at 127.0.0.1:{ports[22]} (key: build/guest/id_ed25519); log in as root, password wafer")
        terminal.attach(console)
        say("shutting down")
    finally:
        _stop(host)


def smoke() -> None:
    """Unattended: succeeds once the guest has answered over its network."""
    begun = time.monotonic()
    with step("making the guest's disk"):
        flavour = vms_flavour()
    host = Host("smoke", machine(), flavour)
    with step("booting the host"):
        host.start()
    try:
        vmx, console = _start_guest(host)
        with step("waiting for the guest's login prompt"):
            text = _read_until(console, b"login:", vmx, 600)
        with step("asking the guest over its network"):
            here = next(here for here, (_, port) in host.machine.forwards.items() if port == HELLO_PORT)
            answer = _ask(here, 120)
        if not answer.startswith("WAFER-GUEST-HELLO"):
            raise Failed(f"the guest answered {answer!r}\n{text[-2000:].decode(errors='replace')}")
        say(f"the guest says: {answer.strip()}")
        with step("shutting the guest down by its power button"):
            host.run(["wafer", "vm", "shutdown", f"{VM}/debian12.vmx"]).check()
            status = vmx.wait(180)
        if status != 0:
            raise Failed(f"vmx ended with status {status}")
    finally:
        _stop(host)
    say(f"all of it took {time.monotonic() - begun:.0f} s")


def _start_guest(host: Host) -> tuple[Process, socket.socket]:
    """Starts the sample VM; returns its process and its console."""
    vmx = host.popen(["wafer", "vmx", f"{VM}/debian12.vmx"])
    with step("starting the guest"):
        path = f"{VM}/console.sock"
        host.wait_for(lambda: vmx.ended or "console.sock" in host.entries(VM), 60, f"the guest's console {path}")
        if vmx.ended:
            result = vmx.communicate()
            raise Failed(f"vmx ended with status {result.status}: {result.errors.decode(errors='replace')}")
        return vmx, host.connect_unix(path)


def _read_until(console: socket.socket, wanted: bytes, vmx: Process, timeout: float) -> bytes:
    """Reads the guest's console until it has said something."""
    deadline = time.monotonic() + timeout
    text = b""
    console.settimeout(5)
    while wanted not in text:
        try:
            data = console.recv(65_536)
        except TimeoutError:
            data = None
        if data == b"" or vmx.ended:
            raise Failed(f"vmx ended before the guest said {wanted!r}: {text[-2000:].decode(errors='replace')}")
        if time.monotonic() > deadline:
            raise Failed(f"the guest did not say {wanted!r} within {timeout:.0f} s: {text[-2000:].decode(errors='replace')}")
        text += data or b""
    return text


def _ask(port: int, timeout: float) -> str:
    """The guest's greeting, through QEMU's port forward, which accepts and then drops while the guest is not ready."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
                answer = connection.makefile().readline()
                if answer:
                    return answer
        except OSError:
            pass
        if time.monotonic() > deadline:
            raise Failed(f"the guest did not answer on port {HELLO_PORT} within {timeout:.0f} s")
        time.sleep(0.5)


def _stop(host: Host) -> None:
    if host.is_running:
        try:
            host.shutdown()
        except (OSError, TimeoutError):
            host.kill()
