"""Guests on the bench host, run by our monitor or by QEMU. Runs there, with the few Python modules the bench userland has."""

import os
import re
import select
import signal
import subprocess
import time
from dataclasses import dataclass, field

DATA = "/tmp/data"
WAFER = "/tmp/data/wafer"
MINI = {"kernel": f"{DATA}/vmlinuz", "initrd": f"{DATA}/initrd.img"}


@dataclass
class Shape:
    """What both monitors are asked for."""

    kernel: str
    initrd: str = ""
    words: str = ""
    memory_mib: int = 256
    # Paths; the first is only read.
    disks: list = field(default_factory=list)
    # "", "vhost" or "user"
    network: str = ""


class Guest:
    """A running guest and its serial line."""

    def __init__(self, name, command, line, directory, memory_mib):
        self.name = name
        self.memory_mib = memory_mib
        self.seen = b""
        self.directory = directory
        self._line = line
        self.log = open(f"{directory}/output", "wb")
        self.started = time.monotonic()
        self.process = subprocess.Popen(command, cwd=directory, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    @property
    def pid(self):
        return self.process.pid

    def _fill(self, timeout):
        ready, _, _ = select.select([self._line], [], [], timeout)
        if ready:
            self.seen += os.read(self._line, 65536)
        return bool(ready)

    def expect(self, pattern, timeout):
        """Waits for a pattern in the serial output; returns the match and the seconds since the start of the process."""
        deadline = time.monotonic() + timeout
        expression = re.compile(pattern.encode())
        while not (match := expression.search(self.seen)):
            left = deadline - time.monotonic()
            if left <= 0:
                raise RuntimeError(f"{self.name}: no {pattern!r} within {timeout} s\n{self.story()}")
            if not self._fill(min(left, 0.5)) and self.process.poll() is not None and not self._fill(0):
                raise RuntimeError(f"{self.name}: ended with {self.process.returncode} before {pattern!r}\n{self.story()}")
        at = time.monotonic() - self.started
        self.seen = self.seen[match.end():]
        return match, at

    def wait_end(self, timeout=30):
        try:
            self.process.wait(timeout)
        finally:
            self.end()

    def end(self):
        """Kills it if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self._line >= 0:
            os.close(self._line)
            self._line = -1
        self.log.close()

    def story(self):
        """The end of what it wrote, for errors."""
        self.log.flush()
        said = open(f"{self.directory}/output", "rb").read()[-1500:]
        return (self.seen[-1500:] + b"\n--- its own output:\n" + said).decode(errors="replace")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    # Memory

    def memory_beyond_ram(self):
        """Bytes of the process's proportional share, without its guest RAM: the one mapping that is at least as large."""
        total = 0
        is_ram = False
        found = 0
        with open(f"/proc/{self.pid}/smaps") as mappings:
            for text in mappings:
                if bounds := re.match(r"([0-9a-f]+)-([0-9a-f]+) r", text):
                    is_ram = int(bounds[2], 16) - int(bounds[1], 16) >= self.memory_mib << 20
                    found += is_ram
                elif text.startswith("Pss:") and not is_ram:
                    total += int(text.split()[1]) * 1024
        if found != 1:
            raise RuntimeError(f"{self.name}: {found} mappings look like guest RAM")
        return total

    def exits_to_user_space(self):
        """Port and MMIO exits so far, from KVM's own counters."""
        total = 0
        root = "/sys/kernel/debug/kvm"
        for machine in os.listdir(root):
            if machine.startswith(f"{self.pid}-"):
                for name in ("io_exits", "mmio_exits"):
                    total += int(open(f"{root}/{machine}/{name}").read())
        return total


def _directory(name):
    directory = f"/tmp/guests/{name}"
    subprocess.run(["rm", "-rf", directory], check=True)
    os.makedirs(directory)
    os.mkfifo(f"{directory}/serial")
    # Open for writing too, so that it never seems closed.
    line = os.open(f"{directory}/serial", os.O_RDWR | os.O_NONBLOCK)
    return directory, line


def ours(shape):
    """Our monitor."""
    directory, line = _directory("ours")
    settings = {
        ".encoding": "UTF-8", "config.version": "8", "virtualHW.version": "21", "displayName": "bench",
        "guestOS": "debian12-64", "memsize": shape.memory_mib, "numvcpus": 1,
        "serial0.present": "TRUE", "serial0.fileType": "file", "serial0.fileName": f"{directory}/serial",
        "wafer.kernel": shape.kernel, "wafer.commandLine": shape.words, "wafer.rng": "FALSE", "wafer.balloon": "FALSE",
    }
    if shape.initrd:
        settings["wafer.initrd"] = shape.initrd
    if shape.disks:
        settings |= {"scsi0.present": "TRUE", "scsi0.virtualDev": "wafer-virtio"}
    for number, path in enumerate(shape.disks):
        settings |= {f"scsi0:{number}.present": "TRUE", f"scsi0:{number}.fileName": path}
        if number == 0:
            settings[f"scsi0:{number}.wafer.readOnly"] = "TRUE"
    if shape.network:
        settings |= {
            "ethernet0.present": "TRUE", "ethernet0.virtualDev": "wafer-virtio", "ethernet0.wafer.tap": "ours",
            "ethernet0.wafer.vhost": "TRUE" if shape.network == "vhost" else "FALSE",
            "ethernet0.addressType": "static", "ethernet0.address": "00:50:56:00:00:01",
        }
    path = f"{directory}/bench.vmx"
    with open(path, "w") as file:
        file.writelines(f'{key} = "{value}"\n' for key, value in settings.items())
    return Guest("ours", [WAFER, "vmx", path], line, directory, shape.memory_mib)


def _qemu(name, program, machine, shape, devices):
    directory, line = _directory(name)
    command = [
        program, "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-accel", "kvm", "-cpu", "host",
        "-machine", machine, "-m", str(shape.memory_mib), "-smp", "1",
        "-chardev", f"file,id=serial,path={directory}/serial", "-serial", "chardev:serial",
        "-kernel", shape.kernel, "-append", shape.words,
    ]
    if shape.initrd:
        command += ["-initrd", shape.initrd]
    return Guest(name, command + devices, line, directory, shape.memory_mib)


def q35(shape):
    """Debian's QEMU with its PC machine."""
    devices = []
    for number, path in enumerate(shape.disks):
        options = f"file={path},format=raw,if=none,id=disk{number},cache=none,aio=io_uring,discard=unmap"
        devices += ["-drive", options + (",read-only=on" if number == 0 else "")]
        # Their disks' queues on threads of their own, like ours.
        devices += ["-object", f"iothread,id=io{number}"]
        devices += ["-device", f"virtio-blk-pci,drive=disk{number},iothread=io{number}"]
    if shape.network:
        vhost = "on" if shape.network == "vhost" else "off"
        devices += ["-netdev", f"tap,id=net,ifname=qemu,script=no,downscript=no,vhost={vhost}"]
        devices += ["-device", "virtio-net-pci,netdev=net,romfile=,mac=00:50:56:00:00:02"]
    return _qemu("q35", "qemu-system-x86_64", "q35", shape, devices)


def microvm(shape):
    """Debian's QEMU with its small machine; ACPI on, for Debian's kernel finds no devices without it."""
    return _qemu("microvm", "qemu-system-x86_64-microvm", "microvm,acpi=on", shape, [])


def stop(guest):
    """Ends a guest that would go on."""
    guest.process.send_signal(signal.SIGKILL)
    guest.end()
