"""The host agent: machines are started, stopped, watched and found again by `wafer hostd`; logins."""

import re
import time

import pytest

from Lab import answers, busybox, counter, session
from Lab.host import Host
from Lab.process import Result
from Lab.qemu import Machine
from Lab.vm import VMS, Console, VirtualMachine

pytestmark = pytest.mark.slow

# No agents run on this host but the one under test, with settings in a file of its own.
SETTINGS = "/tmp/settings"
BUSYBOX = "/tmp/busybox"
AGENT = ["wafer", "hostd", "--settings", SETTINGS]
KILLS = 100


@pytest.fixture(scope="module")
def host():
    with Host("test-hostd", Machine(memory_mib=3072), session.vms_flavour()) as host:
        host.put(busybox.get(), BUSYBOX, 0o755)
        yield host


@pytest.fixture
def agent(host):
    """Starts the agent, again and again as PID 1 does, with these settings; ends it, its machines and its memory."""
    loop = 0

    def start(settings: dict[str, object] | None = None) -> None:
        nonlocal loop
        host.put("".join(f'{path} = "{value}"\n' for path, value in (settings or {}).items()), SETTINGS)
        script = f"while [ ! -e /tmp/enough ]; do {' '.join(AGENT)}; done"
        loop = host.start_detached([BUSYBOX, "sh", "-c", script], output="/tmp/hostd.log")
        host.wait_for(lambda: ask(host, "list").status == 0, 60, "the host agent")

    yield start
    ask(host, "stop-all", "4")
    host.put(b"", "/tmp/enough")
    for one in agents(host):
        host.run([BUSYBOX, "kill", "-9", str(one)])
    # The loop's end, not only the agent's: it may be about to look whether it is enough.
    host.wait_for(lambda: not any(one.pid == loop for one in host.processes()), 30, "the end of the host agent")
    for path in ("/tmp/enough", "/run/wafer/hostd/autostart", "/run/wafer/hostd/logins", SETTINGS):
        try:
            host.remove(path)
        except OSError:
            pass


def ask(host, *words: str, lines: tuple[str, ...] = (), timeout: float = 120) -> Result:
    """`wafer host WORD…`, whatever it answers."""
    return host.run(["wafer", "host", *words], input="".join(f"{line}\n" for line in lines).encode(), timeout=timeout)


def agents(host) -> list[int]:
    return [one.pid for one in host.processes() if one.command == " ".join(AGENT)]


def listed(host) -> dict[str, str]:
    """What each machine does, by name."""
    return answers.machines(ask(host, "list").check().text)


def events(host) -> list[str]:
    return [line.split(" ", 3)[3] for line in ask(host, "events").check().text.splitlines()]


def process_of(host, machine: str) -> int:
    return int(re.search(r"^process (\d+)$", ask(host, "show", machine).check().text, re.M)[1])


def test_machines_on_a_data_disk_are_found_started_shown_and_stopped(host, agent):
    machine = VirtualMachine.make(host, "found", command_line="wafer.test=button wafer.end=poweroff")
    agent()
    assert {"found", "mini", "debian12"} <= set(listed(host)), "VMs on the data disk are found"
    assert set(listed(host).values()) == {"powered off"}
    ask(host, "start", "found").check()
    assert listed(host)["found"] == "running"
    console = host.wait_for(lambda: connect(host, machine), 30)
    console.expect("GUEST-BUTTON-READY", 120)
    shown = ask(host, "show", machine.file).check().text
    assert "device serial0" in shown and "log " in shown and "Control socket" in shown
    # Its own session and cgroup, no child of the agent's session.
    process = process_of(host, "found")
    assert re.search(r"wafer/vm/found-[0-9a-f]{8}$", host.read_file(f"/proc/{process}/cgroup").strip())
    stat = host.read_file(f"/proc/{process}/stat").rpartition(")")[2].split()
    assert stat[3] == str(process), "it leads its own session"
    again = ask(host, "start", "found")
    assert again.status == 1 and "found is running already" in again.errors.decode()
    ask(host, "shutdown", "found").check()
    host.wait_for(lambda: listed(host)["found"] == "powered off", 60, "the guest's shutdown")
    assert events(host)[-3:] == ["found was started (root)", "found was asked to shut down (root)", "found powered off"]
    missing = ask(host, "start", "nothing")
    assert missing.status == 1 and "knows no virtual machine nothing" in missing.errors.decode()


def connect(host, machine: VirtualMachine) -> Console | None:
    try:
        return Console(host.connect_unix(f"{machine.directory}/console.sock"))
    except OSError:
        return None


def test_a_machine_that_cannot_start_says_why(host, agent):
    VirtualMachine.make(host, "lacking", {
        "scsi0.present": "TRUE", "scsi0.virtualDev": "wafer-virtio", "scsi0:0.present": "TRUE",
        "scsi0:0.fileName": "missing.vmdk"})
    agent()
    refused = ask(host, "start", "lacking")
    assert refused.status == 1 and "missing.vmdk" in refused.errors.decode()
    assert listed(host)["lacking"] == "powered off"
    assert "did not start" in events(host)[-1]


def test_machines_start_with_the_host_in_order_with_delays_once(host, agent):
    machines = [VirtualMachine.make(host, name, {"memsize": 128}, command_line="wafer.end=wait") for name in ("third", "first", "second")]
    settings: dict[str, object] = {"autostart.enabled": "true", "autostart.startDelay": 6, "autostart.stopAction": "powerOff"}
    for number, (machine, place) in enumerate(zip(machines, (3, 1, 2))):
        settings[f"machines[{number}].file"] = machine.file
        settings[f"machines[{number}].startOrder"] = place
    settings["machines[1].startDelay"] = 3
    agent(settings)
    host.wait_for(lambda: list(listed(host)[one] for one in ("first", "second", "third")) == ["running"] * 3, 120)
    log = host.read_file("/tmp/hostd.log")
    assert re.findall(r"(\w+) was started", log)[-3:] == ["first", "second", "third"]
    # When each process began, in clock ticks (100 a second) since the host's start.
    began = [
        int(host.read_file(f"/proc/{process_of(host, name)}/stat").rpartition(")")[2].split()[19])
        for name in ("first", "second", "third")]
    assert 300 <= began[1] - began[0] < 600, "the first one's own delay"
    assert 600 <= began[2] - began[1] < 900, "the host's delay"
    ask(host, "stop", "second").check()
    kill_agent(host)
    host.wait_for(lambda: ask(host, "list").status == 0, 30)
    assert [listed(host)[one] for one in ("first", "second", "third")] == ["running", "powered off", "running"]
    time.sleep(5)  # nothing may happen, and nothing tells that it does not
    assert listed(host)["second"] == "powered off"
    assert ask(host, "stop-all", "60").check().text == ""
    assert set(listed(host).values()) == {"powered off"}


def kill_agent(host) -> None:
    victims = agents(host)
    assert len(victims) == 1
    host.run([BUSYBOX, "kill", "-9", str(victims[0])]).check()


def test_killed_a_hundred_times_it_is_back_and_the_guest_has_not_noticed(host, agent):
    machine = counter.make(host)
    agent()
    ask(host, "start", "counter").check()
    console = host.wait_for(lambda: connect(host, machine), 30)
    console.expect(r"COUNT 3 ", 120)
    process = process_of(host, "counter")
    seen = set()
    slowest = 0.0
    for _ in range(KILLS):
        victims = agents(host)
        assert len(victims) == 1 and victims[0] not in seen
        seen.add(victims[0])
        killed = time.monotonic()
        host.run([BUSYBOX, "kill", "-9", str(victims[0])]).check()
        host.wait_for(lambda: agents(host) not in ([], victims) and ask(host, "list").status == 0, 30, "the agent's return")
        slowest = max(slowest, time.monotonic() - killed)
        assert listed(host)["counter"] == "running", "the first answer is the truth"
        assert process_of(host, "counter") == process
    console.expect(r"COUNT \d+ ", 30)
    first, said = counter.check(console.text)
    assert first == 0
    print(f"{KILLS} kills; {said}; slowest return {slowest:.2f} s")
    ask(host, "stop", "counter").check()
    assert listed(host)["counter"] == "powered off"


def test_a_machine_killed_from_outside_is_seen_to_end(host, agent):
    VirtualMachine.make(host, "victim", {"memsize": 128}, command_line="wafer.end=wait")
    agent()
    ask(host, "start", "victim").check()
    kill_agent(host)  # then it is nobody's child but PID 1's
    host.wait_for(lambda: ask(host, "list").status == 0, 30)
    host.run([BUSYBOX, "kill", "-9", str(process_of(host, "victim"))]).check()
    host.wait_for(lambda: listed(host)["victim"] == "powered off", 10)


def test_the_password_is_set_checked_and_locked(host, agent):
    agent({"access.failuresMax": 3, "access.lockSeconds": 300})
    assert ask(host, "login", "root", lines=("",)).status == 0, "none is set at first"
    weak = ask(host, "password", "root", lines=("", "short"))
    assert weak.status == 1 and "at least 7 characters" in weak.errors.decode()
    ask(host, "password", "root", lines=("", "xT7!pqz")).check()
    assert "access.rootPassword = \"$argon2id$" in host.read_file(SETTINGS) and "xT7!pqz" not in host.read_file(SETTINGS)
    ask(host, "login", "root", lines=("xT7!pqz",)).check()
    for _ in range(3):
        assert ask(host, "login", "root", lines=("wrong",)).status == 1
    kill_agent(host)
    host.wait_for(lambda: ask(host, "list").status == 0, 30)
    locked = ask(host, "login", "root", lines=("xT7!pqz",))
    assert locked.status == 1 and "is locked" in locked.errors.decode()
