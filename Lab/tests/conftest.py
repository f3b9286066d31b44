"""What system tests start from."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from Lab import busybox  # noqa: E402
from Lab.host import Host  # noqa: E402

# Where the `tools` fixture puts ordinary programs.
BUSYBOX = "/tmp/busybox"


@pytest.fixture(scope="module")
def host(request):
    """A running host that the tests of one file share; its serial log is shown when it could not start or end."""
    with Host(f"test-{request.module.__name__.removeprefix('test_')}") as host:
        yield host


@pytest.fixture(scope="module")
def tools(host):
    """The shared host, with busybox on it; `host.run([*tools, "ls"])`."""
    host.put(busybox.get(), BUSYBOX, 0o755)
    return [BUSYBOX]
