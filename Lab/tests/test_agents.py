"""PID 1 and the host's agents: started again, heard, taken down in order."""

import time

import pytest

from Lab import answers, busybox
from Lab.host import Flavour, Host
from Lab.images.initramfs import Archive
from Lab.qemu import Machine

pytestmark = pytest.mark.slow

BUSYBOX = "/bin/busybox"


def tools() -> Flavour:
    """Busybox as /bin/busybox from the start."""
    archive = Archive()
    archive.file("bin/busybox", busybox.get().read_bytes(), 0o755)
    return Flavour("tools", archives=[archive.finish()])


def agents(host: Host) -> dict[str, answers.Agent]:
    return answers.agents(host.read_file("/run/wafer/agents"))


def log(host: Host, name: str, count: int = 1000) -> str:
    return host.run(["wafer", "log", "-n", str(count), name]).check().text


@pytest.fixture(scope="module")
def host():
    with Host("test-agents", Machine(2, 512), tools(), ["wafer.agents=on", "wafer.dcui=none"]) as host:
        host.wait_for(lambda: agents(host)["logd"].state == "running", 30, "the log agent")
        yield host


def test_all_agents_run_and_answer(host):
    names = ["logd", "configd", "netd", "timed", "hostd"]
    host.wait_for(lambda: all(agents(host)[name].state == "running" for name in names), 60, "all agents")
    assert list(agents(host)) == names


def test_the_kernel_and_pid_1_are_in_the_log(host):
    assert "Linux version" in log(host, "vmkernel", 5000)
    assert "init[1]: wafer is up" in log(host, "messages")


def test_a_killed_agent_is_back_at_once_a_hundred_times_and_the_log_is_whole(host):
    before = log(host, "vmkernel", 5000)
    slowest = 0.0
    for _ in range(100):
        process = agents(host)["logd"].process
        start = time.monotonic()
        host.run([BUSYBOX, "kill", "-9", str(process)]).check()
        host.wait_for(lambda: agents(host)["logd"].process not in (0, process), 10, "the next log agent")
        slowest = max(slowest, time.monotonic() - start)
    # An emulated processor starts a process in a tenth of a second.
    assert slowest < 3
    host.wait_for(lambda: agents(host)["logd"].state == "running", 30, "the log agent")
    after = log(host, "vmkernel", 5000)
    assert after.startswith(before)
    assert agents(host)["logd"].restarts >= 100
    assert "was ended by signal 9; starting it again" in log(host, "messages")


def test_an_agent_that_hangs_is_ended_and_started_again(host):
    process = agents(host)["logd"].process
    host.run([BUSYBOX, "kill", "-STOP", str(process)]).check()
    host.wait_for(lambda: agents(host)["logd"].process not in (0, process), 90, "the next log agent")
    assert "logd does not answer any more; it is ended" in host.serial_text()


def test_agents_end_in_the_reverse_order_after_guests():
    host = Host("test-order", Machine(1, 512), tools(), ["wafer.agents=on", "wafer.dcui=none"]).start()
    try:
        host.wait_for(lambda: agents(host)["hostd"].state == "running", 60, "the host agent")
        started = [name for name, one in agents(host).items() if one.process]
        host.shutdown()
    finally:
        host.kill()
    said = host.serial_text()
    stopped = [line.rpartition(" ")[2] for line in said.splitlines() if "wafer: stopping " in line and "virtual" not in line]
    assert stopped == list(reversed(started))
    assert "does not end" not in said


def test_what_is_missing_is_said_in_words():
    machine = Machine(1, 512, extra=["-device", "megasas"])
    with Host("test-warnings", machine, append=["wafer.agents=on", "wafer.dcui=none"]) as host:
        host.wait_for(lambda: "warnings" in host.entries("/run/wafer"), 30, "warnings")
        said = [line.split("\t")[1] for line in host.read_file("/run/wafer/warnings").splitlines()]
        assert "This server has no disk that virtual machines could be kept on." in said
        assert any(line.startswith("The storage controller 1000:0060 in slot ") for line in said)
        assert not any("network" in line for line in said)


def test_a_host_that_hangs_is_reset_by_its_watchdog():
    machine = Machine(1, 512, extra=["-device", "i6300esb", "-watchdog-action", "reset"])
    host = Host("test-watchdog", machine, tools(), ["wafer.watchdog=10"]).start()
    try:
        assert "the hardware watchdog restarts this host if it hangs for 10 s" in host.serial_text()
        # It lives on while all is well.
        time.sleep(15)
        assert host.is_running
        ice = "/sys/fs/cgroup/ice"
        script = f"mkdir {ice} && echo 1 >{ice}/cgroup.procs && echo 1 >{ice}/cgroup.freeze"
        host.start_detached([BUSYBOX, "sh", "-c", script])
        host.wait_off(60)
    finally:
        host.kill()
    assert "shutting down" not in host.serial_text()
