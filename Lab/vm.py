"""Virtual machines on a simulated host, as system tests and tools use them: start, console, control, and what to show on failure."""

import re
import secrets
import socket
import threading
import time
from dataclasses import dataclass, field

from .host import Guest
from .process import Process, Result

# Where a lab host has the sample VMs of the data disk, and where tests make their own.
VMS = "/vms/vms"
MINI = f"{VMS}/mini"
DEBIAN = f"{VMS}/debian12"


class Console:
    """A VM's serial console: what it said so far, and typing.

    Reads in a thread, so that nothing is lost and nobody has to wait where nothing is asked.
    """

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream
        self._changed = threading.Condition()
        self._text = ""
        self._ended = False
        self._position = 0
        threading.Thread(target=self._read, name="console", daemon=True).start()

    def _read(self) -> None:
        try:
            while data := self._stream.recv(65_536):
                with self._changed:
                    self._text += data.decode("latin-1")
                    self._changed.notify_all()
        except OSError:
            pass
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    @property
    def text(self) -> str:
        with self._changed:
            return self._text

    @property
    def position(self) -> int:
        """Where in the text the next `expect` begins to look."""
        return self._position

    def expect(self, pattern: str, timeout: float = 60) -> re.Match:
        """Waits until the pattern comes after what was matched before."""
        expression = re.compile(pattern)
        deadline = time.monotonic() + timeout
        with self._changed:
            while not (match := expression.search(self._text, self._position)):
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError(f"the guest did not say {pattern!r} within {timeout:.0f} s\n{self._tail()}")
                if self._ended:
                    raise EOFError(f"the guest's console ended before {pattern!r}\n{self._tail()}")
                self._changed.wait(left)
            self._position = match.end()
            return match

    def type(self, text: str) -> None:
        self._stream.sendall(text.encode())

    def run(self, command: str, timeout: float = 60) -> Result:
        """Runs a command in the shell that waits on the console.

        The marks are put together by the shell, so that the echo of what is typed is not taken for them.
        """
        tag = secrets.token_hex(3)
        began = time.monotonic()
        self.type(f" printf 'BEGIN-%s\\n' {tag}; {command}\n printf 'END-%s-%d\\n' {tag} $?\n")
        match = self.expect(rf"(?s)BEGIN-{tag}\r?\n(.*?)END-{tag}-(\d+)\r?\n", timeout)
        return Result([command], int(match[2]), match[1].encode(), b"", time.monotonic() - began)

    def close(self) -> None:
        self._stream.close()

    def _tail(self) -> str:
        return f"the end of its console:\n{self._text[-3000:]}"


@dataclass
class Status:
    """What `wafer vm status` says."""

    values: dict[str, str] = field(default_factory=dict)
    devices: dict[str, str] = field(default_factory=dict)
    question: str | None = None
    choices: list[str] = field(default_factory=list)

    def __init__(self, text: str) -> None:
        self.values, self.devices, self.question, self.choices = {}, {}, None, []
        for line in text.splitlines():
            name, _, rest = line.partition(" ")
            if name == "device":
                device, _, what = rest.partition(": ")
                self.devices[device.split(" at ")[0]] = what
            elif name == "question":
                self.question = rest
            elif name == "choice":
                self.choices.append(rest.partition(": ")[2])
            else:
                self.values[name] = rest

    @property
    def state(self) -> str:
        return self.values["state"]

    @property
    def question_number(self) -> str:
        return self.question.partition(":")[0]


class VirtualMachine:
    """One VM on a lab host. A VM that runs when its `with` block is left by an error is powered off."""

    def __init__(self, host: Guest, file: str) -> None:
        self.host = host
        self.file = file
        self.directory, _, name = file.rpartition("/")
        self.name = name.removesuffix(".vmx")
        self.process: Process | None = None
        self.console: Console | None = None

    @classmethod
    def make(cls, host: Guest, name: str, settings: dict[str, object] | None = None, *, command_line: str = "",
             firmware: str = "", directory: str = "") -> "VirtualMachine":
        """Describes a minimal guest with a console and nothing else; settings come on top, None takes one away.

        With `firmware`, `bios` or `efi`, it starts from what its settings give it, else the minimal guest's kernel.
        """
        directory = directory or f"{VMS}/{name}"
        keys = {
            ".encoding": "UTF-8", "displayName": name, "guestOS": "debian12-64", "memsize": 256, "numvcpus": 1,
            "serial0.present": "TRUE", "serial0.fileType": "pipe", "serial0.fileName": "console.sock",
            **({"firmware": firmware} if firmware else {
                "wafer.kernel": f"{MINI}/vmlinuz", "wafer.initrd": f"{MINI}/initrd.img",
                "wafer.commandLine": f"console=ttyS0 quiet {command_line}".rstrip()}),
            **(settings or {})}
        machine = cls(host, f"{directory}/{name}.vmx")
        host.make_directory(directory)
        machine.write(keys)
        return machine

    def write(self, keys: dict[str, object]) -> None:
        """Writes the `.vmx` file."""
        self.host.put("".join(f'{key} = "{value}"\n' for key, value in keys.items() if value is not None), self.file)

    # Running it

    def start(self, timeout: float = 60) -> "VirtualMachine":
        """Starts its process and attaches its console."""
        self.process = self.host.popen(["wafer", "vmx", self.file])
        try:
            self.console = self.host.wait_for(self._attach, timeout, f"the console of {self.name}")
        except BaseException as error:
            error.add_note(self.report())
            raise
        return self

    def launch(self, *options: str, timeout: float = 60) -> Result:
        """Runs its process to the end: for what must not start."""
        return self.host.run(["wafer", "vmx", *options, self.file], timeout=timeout)

    def _attach(self) -> Console | None:
        if self.process.ended:
            result = self.process.communicate()
            raise RuntimeError(f"vmx ended with status {result.status}: {result.errors.decode(errors='replace')}")
        try:
            return Console(self.host.connect_unix(f"{self.directory}/console.sock"))
        except OSError:  # not there yet, or what a killed process left
            return None

    def wait_end(self, timeout: float = 60) -> int:
        """Waits for its process's end; gives its exit status."""
        try:
            return self.process.wait(timeout)
        except BaseException as error:
            error.add_note(self.report())
            raise

    @property
    def is_running(self) -> bool:
        return self.process is not None and not self.process.ended

    def __enter__(self) -> "VirtualMachine":
        return self if self.process else self.start()

    def __exit__(self, kind, error, _) -> None:
        if error is not None:
            error.add_note(self.report())
        if self.is_running:
            self.process.kill()
            self.process.wait(30)

    # Controlling it

    def control(self, command: str, *arguments: str, timeout: float = 60) -> Result:
        """`wafer vm COMMAND FILE ARGUMENT...`, whatever it answers."""
        return self.host.run(["wafer", "vm", command, self.file, *arguments], timeout=timeout)

    def order(self, command: str, *arguments: str, timeout: float = 60) -> None:
        """The same for what must be done."""
        self.control(command, *arguments, timeout=timeout).check()

    def status(self) -> Status:
        return Status(self.control("status").check().text)

    def statistics(self) -> dict[str, int]:
        lines = self.control("statistics").check().text.splitlines()
        return {name: int(value) for name, value in (line.split(" ") for line in lines)}

    def wait_state(self, state: str, timeout: float = 60) -> Status:
        """Waits until it is in a state."""
        def look() -> Status | None:
            status = self.status()
            return status if status.state == state else None

        return self.host.wait_for(look, timeout, f"the state {state} of {self.name}")

    # When something went wrong

    def log(self) -> str:
        """Its `vmware.log`."""
        try:
            return self.host.read_file(f"{self.directory}/vmware.log")
        except OSError as error:
            return f"({error})"

    def report(self) -> str:
        """What to read first when a test failed."""
        parts = [f"--- vmware.log of {self.name}:", self.log()[-4000:]]
        if self.console:
            parts += [f"--- the end of its console:", self.console.text[-3000:]]
        if self.process:
            ended = f"ended with {self.process.channel.status}" if self.process.ended else "runs"
            parts += [f"--- its process {self.process.pid} {ended}"]
            if self.process.channel.has_data(2):
                parts += [self.process.channel.read(2).decode(errors="replace")[-2000:]]
        return "\n".join(parts)
