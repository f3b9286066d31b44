"""A host in the background, and many programs that use it at a time."""

import json
import os
import signal
import subprocess
import sys
import threading

import pytest

from Lab import busybox, keeper, paths
from conftest import BUSYBOX

pytestmark = pytest.mark.slow


def lab(*words: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "Lab", *words], cwd=paths.ROOT, capture_output=True, timeout=300, **options)


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    """A background host of this file's own."""
    path = tmp_path_factory.mktemp("lab") / "test-background.json"
    os.environ["WAFER_LAB_STATE"] = str(path)
    paths.STATE = path
    up = lab("up", "--cpus=1", "--memory=512")
    assert up.returncode == 0, up.stderr.decode()
    yield json.loads(path.read_text())
    lab("down")
    del os.environ["WAFER_LAB_STATE"]


def test_it_says_how_to_reach_it(state):
    for name in ("pid", "qemu_pid", "address", "password", "forwards", "channel_socket", "serial_socket"):
        assert name in state
    said = lab("status").stdout.decode()
    assert state["channel_socket"] in said and str(state["pid"]) in said
    assert lab("up").stdout.decode() == said, "a second up finds the first"


def test_commands_and_files_go_through(state, tmp_path):
    done = lab("exec", "wafer", "--version")
    assert (done.returncode, done.stdout[:6]) == (0, b"wafer ")
    assert lab("put", str(busybox.get()), BUSYBOX, "--mode=755").returncode == 0
    done = lab("exec", BUSYBOX, "sh", "-c", "cat; echo no >&2; exit 7", input=b"through")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"through", b"no\n")
    assert lab("get", "/proc/sys/kernel/hostname", str(tmp_path / "name")).returncode == 0
    assert (tmp_path / "name").read_text() == "wafer\n"
    assert lab("get", "/no/such", "-").returncode == 1


def test_many_programs_at_a_time_do_not_see_each_other(state):
    results = {}

    def client(number: int) -> None:
        host = keeper.AttachedHost(state)
        for round in range(5):
            data = f"{number}.{round} ".encode() * 20_000
            results[number, round] = host.run([BUSYBOX, "cat"], input=data).output == data
        host.connection.close()

    threads = [threading.Thread(target=client, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 40 and all(results.values())


def test_what_a_killed_program_ran_ends_and_what_others_run_goes_on(state):
    host = keeper.AttachedHost(state)
    kept = host.popen([BUSYBOX, "sleep", "2000"])
    victim = subprocess.Popen(
        [sys.executable, "-m", "Lab", "exec", BUSYBOX, "sh", "-c", "echo here; sleep 3000"], cwd=paths.ROOT, stdout=subprocess.PIPE)
    assert victim.stdout.readline() == b"here\n"
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    host.wait_for(lambda: not any("sleep 3000" in one.command for one in host.processes()), 30)
    assert not kept.ended
    kept.kill()
    assert kept.wait() == -signal.SIGKILL


def test_down_ends_exactly_that_one(state):
    assert lab("down").returncode == 0
    assert not paths.STATE.exists()
    assert not os.path.exists(f"/proc/{state['qemu_pid']}")
    assert lab("down").returncode == 3
    # A number that some other process has by now is not touched.
    bystander = subprocess.Popen(["sleep", "60"])
    paths.STATE.write_text(json.dumps({**state, "pid": bystander.pid}))
    assert lab("down").returncode == 3
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()
