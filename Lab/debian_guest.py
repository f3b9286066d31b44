"""The Debian guest on a simulated host, as its administrator uses it: from its serial console."""

from .host import Guest
from .vm import DEBIAN, Console, VirtualMachine

FILE = f"{DEBIAN}/debian12.vmx"
# Its disk's file, as a userland with the host's data disks sees it; the file system begins at 1 MiB.
FILE_SYSTEM = f"{DEBIAN}/debian12-flat.vmdk?offset=1048576"
# What a kernel says when something is wrong with it or with its devices.
COMPLAINTS = (
    r"BUG:|Oops|Call Trace|Kernel panic|WARNING: CPU|soft lockup|hung task|blocked for more than|rcu: INFO|EXT4-fs (error|warning)|"
    r"I/O error|NETDEV WATCHDOG|transmit queue [0-9]+ timed out")


def boot(host: Guest) -> VirtualMachine:
    """Starts it and logs in."""
    return log_in(VirtualMachine(host, FILE).start())


def log_in(vm: VirtualMachine) -> VirtualMachine:
    log_in_at(vm.console)
    return vm


def log_in_at(console: Console) -> None:
    console.expect("login:", 240)
    console.type("root\n")
    console.expect("Password:")
    console.type("wafer\n")
    console.expect(r"root@guest:~# ", 60)
    # A shell that neither edits its line nor echoes it: what comes back is what commands print.
    console.type(" stty -echo; PS1= exec dash\n")


def guest(vm: VirtualMachine, command: str, timeout: float = 120) -> str:
    """Runs a command on the guest's console and gives what it printed; it must succeed."""
    result = vm.console.run(command, timeout)
    assert result.status == 0, f"{command}: {result.output.decode(errors='replace')}\n{vm.report()}"
    return result.output.decode(errors="replace")


def complaints(vm: VirtualMachine) -> str:
    """The lines of its kernel's log that say that something is wrong; nothing if all is well.

    Without one that is the emulated server's: KVM does not see there which vector registers a guest switches on (QEMU 7.2 does not
    let it intercept XSETBV), tells the guest the wrong size for them, and the guest does without. Under Debian's QEMU it is the same.
    """
    return guest(vm, f"dmesg | sed '/XSAVE consistency problem/,/end trace/d' | grep -E '{COMPLAINTS}' || true").strip()


def set_keys(host: Guest, keys: dict[str, object]) -> None:
    """Changes its `.vmx` file."""
    lines = [line for line in host.read_file(FILE).splitlines() if line.partition(" = ")[0] not in keys]
    host.put("\n".join([*lines, *(f'{key} = "{value}"' for key, value in keys.items())]) + "\n", FILE)
