"""Swift tests that need devices of the kernel (vhost, taps), on a simulated server, which has them."""

import re

import pytest

from Lab import unittests
from Lab.host import Host
from Lab.qemu import Machine

pytestmark = pytest.mark.skipif(not unittests.BUNDLE.exists(), reason="the Swift tests are not built: run swift build --build-tests")


@pytest.fixture(scope="module")
def host():
    with Host("test-devices", Machine(memory_mib=3072), unittests.flavour()) as host:
        yield host


def run(host, pattern: str) -> str:
    result = host.run(unittests.command(pattern), timeout=600, environment=unittests.ENVIRONMENT)
    output = result.text + result.errors.decode(errors="replace")
    print(output)
    assert result.status == 0, output[-4000:]
    assert re.search(r"Test run with [1-9]\d* tests? .*passed", output), "no test ran"
    return output


@pytest.mark.parametrize("suite", ["VirtioTests.NetTapTests", "VirtioTests.SocketTests", "LinuxTests.VhostTests", "LinuxTests.TapTests",
                                   "VSwitchTests.RealSwitchTests", "NetworkAgentTests.NetworkAgentTests"])
def test_nothing_is_skipped_and_all_pass(host, suite):
    output = run(host, suite)
    assert "skipped" not in output
