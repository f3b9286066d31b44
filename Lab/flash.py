"""The image on its flash as tests of the flash use it: booted as it is delivered, and looked into from outside."""

import subprocess
from dataclasses import dataclass

from . import paths
from .host import Flavour, Host
from .medium import Image, Medium
from .process import Result
from .qemu import Machine

# The update bundle that `make image` makes, the keys whose signatures count, and where an update lies on a host.
BUNDLE = paths.BUILD / "wafer-update.bin"
KEYS = paths.BUILD / "keys" / "development.pub"
UPDATE = "/tmp/update.bin"


def product(name: str, *, firmware: str = "bios", restarts: bool = False, **image) -> Host:
    """The image with its agents and the direct console, from USB; its serial line is PID 1's, for tests to read."""
    machine = Machine(2, 1024, boot=Image(**image), firmware=firmware, restarts=restarts)
    return Host(f"test-flash-{name}", machine, Flavour("product", ["wafer.agents=1", "wafer.dcui=tty1"], network=""))


def wait_confirmed(host: Host, bank: str = "A") -> None:
    """Waits until the host has said that this boot is well: the last that it writes by itself."""
    def is_confirmed() -> bool:
        variables = host.medium.environment
        return variables["bank"] == bank and variables.get("attempts") == "0" and not variables.get("next")

    try:
        host.wait_for(is_confirmed, 120, "the boot's confirmation")
    except TimeoutError as error:
        error.add_note(host.run(["wafer", "log", "-n", "30", "messages"], timeout=20).text)
        error.add_note(host.read_file("/run/wafer/agents"))
        raise


def words(host: Host) -> list[str]:
    return host.read_file("/proc/cmdline").split()


def settings(host: Host) -> list[str]:
    return host.run(["wafer", "settings", "get"]).check().text.splitlines()


def update(host: Host) -> Result:
    return host.run(["wafer", "update", UPDATE], timeout=600)


@dataclass
class Found:
    """What `wafer-image inspect` finds on a medium: the host's own code reads it."""

    revision: int
    settings: list[str]
    findings: list[str]
    # By bank: `whole`, or why not.
    banks: dict[str, str]
    variables: dict[str, str]
    # The bank that starts, and how.
    starts: tuple[str, str]


def inspect(medium: Medium) -> Found:
    result = subprocess.run([paths.BUILD / "wafer-image", "inspect", medium.path, KEYS], check=True, capture_output=True, text=True)
    found = Found(0, [], [], {}, {}, ("", ""))
    for line in result.stdout.splitlines():
        what, *rest = line.split("\t")
        match what:
            case "revision": found.revision = int(rest[0])
            case "setting": found.settings.append(rest[0])
            case "finding": found.findings.append(rest[0])
            case "bank": found.banks[rest[0]] = "whole" if rest[1] == "whole" else rest[2]
            case "variable": found.variables[rest[0]] = rest[1]
            case "starts": found.starts = (rest[0], *rest[1:])
    return found
