"""`make run` and `make smoke`: from a clean clone to a Debian guest in our own virtual machine monitor."""

import socket
import time

from . import answers, terminal
from .host import Flavour, Host
from .images import bench, data
from .images.workshop import BuildError, exclusive
from .progress import say, step
from .medium import Image
from .qemu import Disk, Machine

# The first guest to ask gets this address from QEMU's DHCP server; the host's own is outside that server's range.
GUEST = "10.0.2.15"
# The second one's address is this.
IMAGE_GUEST = "10.0.2.16"
VM_NAME = "debian12"
# Where the data disk is mounted by its label.
CONSOLE = f"/vms/{data.LABEL}/vms/{VM_NAME}/console.sock"
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


def image_host(name: str) -> Host:
    """A server with the image on its flash and the sample VMs on a data disk, as it would be delivered, but with the lab's channel."""
    _build(data)
    # The host itself is the first to ask for an address.
    hardware = Machine(
        2, 2048, forwards={0: (IMAGE_GUEST, 22), -1: (IMAGE_GUEST, HELLO_PORT)}, boot=Image(),
        disks=[Disk(data.IMAGE, "vmdata", temporary=True)])
    words = ["wafer.agents=1", "wafer.dcui=tty1,ttyS0"]
    return Host(name, hardware, Flavour("product", words, network=""))


def run() -> None:
    """For a person: ends with their terminal on the direct console of a host whose guest has been started."""
    with step("making the guest's disk"):
        host = image_host("run")
    with step("booting the image"):
        host.start()
    try:
        _start_guest(host)
        say(f"the guest's SSH is at 127.0.0.1:{_forward(host, 22)} (key: build/guest/id_ed25519); log in as root, password wafer")
        terminal.attach_several({
            "d": terminal.Console("the host's direct console", _serial(host), paints=True),
            "g": terminal.Console("the guest's console", host.connect_unix(CONSOLE))})
        say("shutting down")
    finally:
        _stop(host)


def smoke() -> None:
    """Unattended: succeeds once the guest has answered over its network."""
    begun = time.monotonic()
    with step("making the guest's disk"):
        host = image_host("smoke")
    with step("booting the image"):
        host.start()
    try:
        with step("waiting for the direct console"):
            host.wait_text("Configure, view logs", 120)
        _start_guest(host)
        console = host.connect_unix(CONSOLE)
        with step("waiting for the guest's login prompt"):
            text = _read_until(console, b"login:", 600)
        with step("asking the guest over its network"):
            answer = _ask(_forward(host, HELLO_PORT), 120)
        if not answer.startswith("WAFER-GUEST-HELLO"):
            raise Failed(f"the guest answered {answer!r}\n{text[-2000:].decode(errors='replace')}")
        say(f"the guest says: {answer.strip()}")
        with step("shutting the guest down by its power button"):
            host.run(["wafer", "host", "shutdown", VM_NAME], timeout=180).check()
            host.wait_for(lambda: _power(host) == "powered off", 180, "the guest's shutdown")
    finally:
        _stop(host)
    say(f"all of it took {time.monotonic() - begun:.0f} s")


def _serial(host: Host) -> socket.socket:
    console = socket.socket(socket.AF_UNIX)
    console.connect(host.sockets["serial"])
    return console


def _forward(host: Host, port: int) -> int:
    """Which port here leads to the guest's."""
    return next(here for here, (_, there) in host.machine.forwards.items() if there == port)


def _power(host: Host) -> str:
    """What the host agent says the sample VM does; empty if it does not know it."""
    return answers.machines(host.run(["wafer", "host", "list"]).text).get(VM_NAME, "")


def _start_guest(host: Host) -> None:
    """Starts the sample VM, once the host agent has found it."""
    with step("starting the guest"):
        host.wait_for(lambda: _power(host), 60, f"the virtual machine {VM_NAME}")
        host.run(["wafer", "host", "start", VM_NAME]).check()


def _read_until(console: socket.socket, wanted: bytes, timeout: float) -> bytes:
    """Reads the guest's console until it has said something."""
    deadline = time.monotonic() + timeout
    text = b""
    console.settimeout(5)
    while wanted not in text:
        try:
            data = console.recv(65_536)
        except TimeoutError:
            data = None
        if data == b"":
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
