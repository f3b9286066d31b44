"""The lab channel: every other system test runs through it, so it must lose nothing and never get stuck."""

import hashlib
import random
import signal
import struct
import threading
import time

import pytest

from Lab.channel import PUT, START, Connection, string

MIB = 1 << 20


def test_output_errors_and_status_come_apart(host, tools):
    result = host.run([*tools, "sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (result.output, result.errors, result.status) == (b"out\n", b"err\n", 3)


def test_environment_and_directory_are_as_asked(host, tools):
    result = host.run([*tools, "sh", "-c", "echo $COLOUR; pwd"], environment={"COLOUR": "teal"}, directory="/sys")
    assert result.text == "teal\n/sys\n"


def test_a_missing_program_is_an_error_with_its_name(host):
    with pytest.raises(FileNotFoundError, match="/no/such"):
        host.run(["/no/such"])


def test_more_input_than_any_buffer_comes_back_whole(host, tools):
    data = random.Random(1).randbytes(5 * MIB)
    result = host.run([*tools, "cat"], input=data)
    assert hashlib.sha256(result.output).digest() == hashlib.sha256(data).digest()


def test_the_end_of_input_is_seen_and_early_enders_are_no_error(host, tools):
    assert host.run([*tools, "wc", "-c"], input=b"12345").text.strip() == "5"
    assert host.run([*tools, "head", "-c", "3"], input=b"x" * MIB).output == b"xxx"


def test_a_signal_reaches_the_process_and_its_children(host, tools):
    process = host.popen([*tools, "sh", "-c", "sleep 1000 & echo started; wait"])
    process.expect("started")
    process.signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    host.wait_for(lambda: not any("sleep 1000" in one.command for one in host.processes()))


def test_a_process_that_nobody_reads_holds_up_only_itself(host, tools):
    flood = host.popen([*tools, "sh", "-c", "yes | head -c 3000000; echo done >&2"])
    stuck = host.popen([*tools, "sleep", "1000"])
    writer = threading.Thread(target=lambda: _ignore_errors(stuck.write, b"x" * MIB), daemon=True)
    writer.start()
    for _ in range(3):
        assert host.run([*tools, "cat"], input=b"still alive").output == b"still alive"
    result = flood.communicate()
    assert len(result.output) == 3_000_000 and result.errors == b"done\n"
    stuck.kill()
    assert stuck.wait() == -signal.SIGKILL
    writer.join(10)


def test_many_at_a_time(host, tools):
    results = {}

    def one(number: int) -> None:
        data = random.Random(number).randbytes(100_000 + number * 1000)
        results[number] = host.run([*tools, "cat"], input=data, timeout=120).output == data

    threads = [threading.Thread(target=one, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {number: True for number in range(20)}


def test_a_detached_process_lives_on_and_its_output_is_in_a_file(host, tools):
    pid = host.start_detached([*tools, "sh", "-c", "echo begun; sleep 1000"], output="/tmp/detached.log")
    host.wait_for(lambda: host.get("/tmp/detached.log") == b"begun\n")
    assert any(one.pid == pid for one in host.processes())
    host.run([*tools, "kill", "-9", str(pid)]).check()
    host.wait_for(lambda: not any(one.pid == pid for one in host.processes()), what="the reaping of the dead")


def test_a_grandchild_that_keeps_the_pipes_does_not_keep_the_channel(host, tools):
    begun = time.monotonic()
    result = host.run([*tools, "sh", "-c", "sleep 100 & echo parent"])
    assert result.text == "parent\n"
    assert time.monotonic() - begun < 50
    host.run([*tools, "killall", "sleep"])


def test_expect_finds_what_comes_in_pieces(host, tools):
    with host.popen([*tools, "sh", "-c", "printf lo; read x; printf gin:; read y; echo bye $x$y"]) as process:
        process.expect("lo")
        process.write("a\n")
        process.expect("gin:")
        process.write("b\n")
        assert process.expect(r"bye (\w+)")[1] == b"ab"
        assert process.wait() == 0


def test_files_as_big_as_a_disk_go_and_come(host):
    data = random.Random(2).randbytes(20 * MIB)
    host.put(data, "/tmp/big", 0o640)
    assert hashlib.sha256(host.get("/tmp/big")).digest() == hashlib.sha256(data).digest()
    assert host.entries("/tmp")["big"] == ("f", len(data), 0o640)
    host.remove("/tmp/big")


def test_a_file_that_is_not_finished_is_not_there(host):
    opened = host.connection.open(PUT, string("/tmp/half") + struct.pack("<I", 0o644)).wait_opened()
    opened.write(b"half of it")
    opened.close()
    opened.wait_finished()
    assert not [name for name in host.entries("/tmp") if name.startswith("half")]


def test_no_room_on_the_host_is_said_and_leaves_nothing(host, tools):
    host.make_directory("/tmp/small")
    host.run([*tools, "mount", "-t", "tmpfs", "-o", "size=64k", "none", "/tmp/small"]).check()
    with pytest.raises(OSError, match="No space left"):
        host.put(b"x" * MIB, "/tmp/small/file")
    assert host.entries("/tmp/small") == {}
    host.run([*tools, "umount", "/tmp/small"]).check()


def test_a_socket_that_is_not_there_is_an_error(host):
    with pytest.raises(FileNotFoundError, match="/no/such/socket"):
        host.connect_unix("/no/such/socket")


def test_waiting_for_a_path_ends_when_it_is_there(host, tools):
    process = host.popen([*tools, "sh", "-c", "read x; mkdir -p /tmp/deep/er"])
    waiter = threading.Thread(target=host.wait_for_path, args=("/tmp/deep/er", 30))
    waiter.start()
    process.write("\n")
    waiter.join(30)
    assert not waiter.is_alive()
    with pytest.raises(TimeoutError):
        host.wait_for_path("/tmp/never", 0.2)


def test_nothing_is_left_behind(host, tools):
    """Runs after all the others in this file: PID 1 has no descriptors and memory more than one hundred processes ago."""
    def measure() -> tuple[int, int]:
        return host.descriptors(1), host.process_memory(1)["Private_Dirty"]

    for _ in range(20):
        host.run([*tools, "true"])
    before = measure()
    for _ in range(100):
        host.run([*tools, "true"])
    after = measure()
    assert after[0] == before[0]
    assert after[1] <= before[1] + 200
    assert not [one for one in host.processes() if one.state == "Z"]


def test_malformed_frames_close_all_channels_and_a_new_client_goes_on(host, tools):
    """The last in this file: it spoils the connection."""
    process = host.popen([*tools, "sleep", "1000"])
    host.connection.send(1, START, string("") + b"\xff\xff\xff\xff")
    host.connection.close()
    host.connection = Connection(host.connect_port(), 30, lambda: host.is_running)
    assert host.run([*tools, "echo", "again"]).text == "again\n"
    host.wait_for(lambda: not any(one.pid == process.pid for one in host.processes()), what="the end of the old client's process")


def _ignore_errors(call, *arguments) -> None:
    try:
        call(*arguments)
    except OSError:
        pass


def test_random_bytes_do_no_harm(host, tools):
    for seed in range(5):
        stream = host.connection._stream
        stream.sendall(random.Random(seed).randbytes(20_000))
        host.connection.close()
        host.connection = Connection(host.connect_port(), 30, lambda: host.is_running)
        assert host.run([*tools, "echo", str(seed)]).text == f"{seed}\n"
