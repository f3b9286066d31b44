"""A machine's screen and keyboard over the network, by a VNC client of Debian's that knows nothing of us."""

import subprocess
import time
from pathlib import Path

import pytest

from Lab import paths
from Lab.debian_guest import guest, log_in
from Lab.host import Host
from Lab.qemu import Machine
from Lab.screen import Picture
from Lab.session import vms_flavour
from Lab.vm import DEBIAN, VMS, VirtualMachine

pytestmark = pytest.mark.slow

HOST = "10.0.2.100"
PORT = 5901
PASSWORD = "harbour7"


# With Debian's own Python, which is not always the one that runs the tests.
CONVERT = "import sys; from PIL import Image; Image.open(sys.argv[1]).convert('RGB').save(sys.argv[2])"


def read(path: Path) -> Picture:
    """A PNG file."""
    plain = path.with_suffix(".ppm")
    subprocess.run(["/usr/bin/python3", "-c", CONVERT, path, plain], check=True)
    return Picture(plain.read_bytes())


class Client:
    """Debian's libnet-vnc-perl. It connects anew for everything, because it does not follow a screen that changes its size."""

    def __init__(self, port: int, password: str, directory: Path) -> None:
        script = Path(paths.__file__).parent / "vnc_client.pl"
        self._command = ["perl", script, "127.0.0.1", str(port), password]
        self._picture = directory / "screen.png"

    def run(self, orders: str = "") -> tuple[str, str]:
        """What it says, and what is wrong."""
        result = subprocess.run(self._command, input=orders, capture_output=True, text=True, timeout=60)
        return result.stdout, result.stderr

    def _order(self, line: str) -> None:
        said, errors = self.run(line + "\n")
        assert said.endswith("done\n"), errors

    def picture(self) -> Picture:
        self._order(f"capture {self._picture}")
        return read(self._picture)

    def type(self, text: str) -> None:
        self._order(f"type {text}")

    def wait_for(self, text: str, timeout: float) -> Picture:
        deadline = time.monotonic() + timeout
        while True:
            picture = self.picture()
            if picture.find(text):
                return picture
            assert time.monotonic() < deadline, f"the screen does not show {text!r} but\n{picture.text()}"
            time.sleep(0.5)  # nothing tells that a screen has changed


@pytest.fixture(scope="module")
def server():
    with Host("remote-console", Machine(2, 2048, forwards={0: (HOST, PORT)}), vms_flavour()) as host:
        yield host


def test_a_client_sees_the_boot_and_logs_in(server, tmp_path):
    port = next(here for here, there in server.machine.forwards.items() if there == (HOST, PORT))
    vm = VirtualMachine.make(server, "screen", firmware="bios", settings={
        "memsize": 512,
        "scsi0.present": "TRUE", "scsi0.virtualDev": "wafer-virtio", "scsi0:0.present": "TRUE", "scsi0:0.fileName": f"{DEBIAN}/debian12.vmdk",
        "RemoteDisplay.vnc.enabled": "TRUE", "RemoteDisplay.vnc.port": PORT, "RemoteDisplay.vnc.password": PASSWORD})
    with vm.start():
        server.wait_for(lambda: f"port {PORT}" in vm.log(), 60, "the screen's server")
        said, errors = Client(port, "wrong", tmp_path).run()
        assert said == "" and errors
        client = Client(port, PASSWORD, tmp_path)
        assert client.run() == ("ready screen\n", "")
        client.wait_for("Debian GNU/Linux", 120)
        log_in(vm)
        # Its sample guest has a login prompt on the serial line only.
        guest(vm, "systemctl start getty@tty1")
        client.wait_for("login:", 60)
        client.type("root")
        client.wait_for("Password:", 60)
        client.type("wafer")
        client.wait_for("root@guest:~#", 60)
        client.type("expr 6000 - 1")
        seen = client.wait_for("5999", 60)

        # What the host itself says of the screen is the same picture.
        vm.order("screenshot", f"{VMS}/screen.png")
        (tmp_path / "host.png").write_bytes(server.get(f"{VMS}/screen.png"))
        assert read(tmp_path / "host.png").text() == seen.text()

