"""The direct console on the image's own screen: everything that can be done in front of a host, by its keys."""

import re

import pytest

from Lab import answers
from Lab.direct_console import DirectConsole, dialog, entries, facts, warnings
from Lab.host import Flavour, Host
from Lab.images import data
from Lab.images.workshop import exclusive
from Lab.medium import Image
from Lab.qemu import Disk, Machine

# Minutes, and `make image` first.
pytestmark = pytest.mark.slow

SIZES = {"bios": (80, 25), "uefi": (160, 50)}
# The product's agents and consoles, with the lab's channel beside them.
PRODUCT = Flavour("product", ["wafer.agents=1", "wafer.dcui=tty1,ttyS0"], network="")
MAC = "52:54:00:57:00:00"
# What QEMU's own DHCP server gives the first who asks.
LEASED = "10.0.2.15"
FIXED = "10.0.2.77"
GATEWAY = "10.0.2.2"
PASSWORD = "harbour-42-Blue"
SECOND_PASSWORD = "lantern=73=Grey"
LOCK_SECONDS = 45
FAILURES_MAX = 5

SETTINGS = [
    "Password", "Lockdown Mode", "Management Network", "Restart Management Network", "Test Management Network",
    "Disable Management Network", "Restore Network", "Keyboard Layout", "Virtual Machines", "Troubleshooting", "System Logs",
    "Support Information", "Factory Reset"]
NETWORK = ["Network Adapters", "VLAN", "IPv4", "IPv6", "DNS and Host Name", "DNS Suffixes"]


@pytest.fixture(scope="module", params=SIZES)
def console(request):
    """The console of a host with a card and a data disk, which the tests of a firmware work with one after another."""
    with exclusive():
        data.build()
    machine = Machine(
        2, 1024, boot=Image(), firmware=request.param, restarts=True, disks=[Disk(data.IMAGE, "vmdata", temporary=True)])
    with Host(f"test-console-{request.param}", machine, PRODUCT) as host:
        yield DirectConsole(host)


def net_status(host: Host) -> str:
    return host.run(["wafer", "net", "status"]).text


def settings(host: Host) -> dict[str, str]:
    """The host's settings by path."""
    return dict(re.findall(r'^(\S+) = "(.*)"$', host.run(["wafer", "settings", "get"]).check().text, re.MULTILINE))


def reaches_gateway(host: Host) -> bool:
    return host.run(["wafer", "net", "ping", GATEWAY]).status == 0


# A host as it comes


def test_the_screen_says_what_the_host_is_and_how_to_reach_it(console):
    picture = console.until_status(lambda picture: facts(picture).get("IPv4"), "show an address", 120)
    assert (picture.columns, picture.rows) == SIZES[console.host.machine.firmware]
    version = console.host.run(["wafer", "--version"]).check().text.split()[1]
    assert picture.find(f"W A F E R   hypervisor {version}") and picture.find("bank A")
    assert picture.find("QEMU Standard PC") and picture.find("2 cores")
    assert facts(picture)["IPv4"] == f"{LEASED}  DHCP"
    assert facts(picture)["MAC address"] == MAC
    assert facts(picture)["Host name"] == "localhost"
    picture = console.until_status(lambda picture: picture.find("virtual machines, 0 on"), "count the virtual machines")
    assert warnings(picture) == ["No password is set: press F2, Enter, and choose Password."]
    assert picture.line(picture.rows - 1).split("  ")[1:2] == ["F2 Configure, view logs"]
    # Every character is one of the font's, none a stand-in for what the font lacks.
    assert "\N{REPLACEMENT CHARACTER}" not in picture.text()
    assert picture.cell(1, 0).background != picture.cell(picture.rows - 3, 0).background


def _brightness(colour: tuple[int, int, int]) -> int:
    return sum(colour)


def test_high_contrast_is_black_and_white(console):
    before = console.status()
    console.press("f4")
    black = console.screen.wait_until(lambda picture: _brightness(picture.cell(20, 0).background) < 100, "turn dark")
    try:
        # What can be read is black on white or white on black, bold or not.
        for text in ("W A F E R", "Manage this host at", "F2", "Configure", "Shut down"):
            row, column = black.find(text)
            cell = black.cell(row, column)
            assert abs(_brightness(cell.foreground) - _brightness(cell.background)) > 600, (text, cell)
    finally:
        console.press("f4")
    console.screen.wait_until(lambda picture: picture.cell(1, 0) == before.cell(1, 0), "have its colours again")


def test_the_first_password_is_set_here_and_asked_for_from_then_on(console):
    console.press("f2")
    console.dialog("Log in", "No password is set yet: leave the password empty.")
    console.press("ret")
    picture = console.menu("Host Settings")
    assert entries(picture) == SETTINGS
    assert picture.find("Not set")
    console.open("Password")
    console.dialog("Password of root")
    console.enter_secrets("simple", "simple")
    console.dialog("Password of root", "The password must have at least 7 characters.")
    console.enter_secrets(PASSWORD, PASSWORD + "!")
    console.dialog("Password of root", "The two new passwords are not the same.")
    console.press("esc")
    console.menu("Host Settings")
    console.press("ret")
    console.dialog("Password of root")
    console.enter_secrets(PASSWORD, PASSWORD)
    console.dialog("Password", "The password has been changed.")
    console.press("ret")
    console.screen.wait_until(lambda picture: picture.find("root  Set"), "show that a password is set")
    console.log_out()
    console.until_status(lambda picture: not warnings(picture), "have no warning any more")
    console.press("f2")
    console.dialog("Log in")
    console.press("ret")
    console.dialog("Log in", "The user name or the password is wrong.")
    console.press("esc")
    console.log_in(PASSWORD)
    console.log_out()


# Every entry


def test_every_entry_of_the_settings_opens_and_leads_back(console):
    console.log_in(PASSWORD)
    boxes = {
        "Password": "Password of root", "Lockdown Mode": "Lockdown Mode",
        "Restart Management Network": "Restart the management network?", "Test Management Network": "Test Management Network",
        "Disable Management Network": "Disable the management network?", "Restore Network": "Restore Network",
        "Keyboard Layout": "Keyboard Layout", "Factory Reset": "Forget every setting?"}
    for entry in SETTINGS:
        console.open(entry)
        if entry in boxes:
            console.dialog(boxes[entry])
        elif entry == "System Logs":
            logs = entries(console.menu(entry))
            assert [log.split(" ", 1)[0] for log in logs] == [str(number) for number in range(1, len(logs) + 1)]
            assert "Kernel" in " ".join(logs) and "Network" in " ".join(logs)
        else:
            console.menu(entry)
        console.press("esc")
        console.menu("Host Settings")


def test_every_entry_of_the_management_network_opens_and_leads_back(console):
    console.open("Management Network")
    assert entries(console.menu("Management Network")) == NETWORK
    for entry in NETWORK:
        console.open(entry)
        box = console.dialog(entry)
        if entry == "Network Adapters":
            assert re.search(rf"\[ \] vmnic0 +{MAC} +link", box.text)
            console.press("d")
            assert "virtio_net" in console.dialog("vmnic0").text
            console.press("ret")
            console.dialog(entry)
        elif entry == "IPv4":
            assert "(*) Automatic, from a DHCP server" in box.rows and f"Address  {LEASED}" in box.rows
        elif entry == "DNS Suffixes":
            assert box.text.startswith("The suffixes come from the DHCP server.")
        console.press("esc")
        console.menu("Management Network")
    console.press("esc")
    console.menu("Host Settings")


def test_virtual_machines_logs_and_support_information_can_be_read(console):
    console.open("Virtual Machines")
    picture = console.menu("Virtual Machines")
    assert picture.find("debian12") and picture.find("mini")
    console.press("ret")
    picture = console.menu("debian12")
    assert entries(picture) == ["Start", "Shut Down Guest", "Power Off", "Reset", "Automatic Start", "Details"]
    console.open("Power Off")
    console.dialog("Power Off", "This machine is not switched on.")
    console.press("esc")
    console.open("Automatic Start")
    console.dialog("Automatic Start")
    console.press("esc")
    console.open("Details")
    console.menu("Details")
    console.press("q", "esc", "esc")
    console.menu("Host Settings")
    console.open("Troubleshooting")
    assert entries(console.menu("Troubleshooting")) == ["Restart Management Agents", "Console Idle Time"]
    console.open("Restart Management Agents")
    console.dialog("Restart the management agents?")
    console.press("esc")
    console.open("Console Idle Time")
    console.dialog("Console Idle Time")
    console.press("esc", "esc")
    console.menu("Host Settings")
    console.open("System Logs")
    logs = entries(console.menu("System Logs"))
    for log in logs:
        number, title = log.split(maxsplit=1)
        console.press(number)
        console.menu(title)
        console.press("q")
        console.menu("System Logs")
    number = next(log.split()[0] for log in logs if log.endswith("Kernel"))
    console.press(number)
    console.menu("Kernel")
    console.press("home", "slash")
    console.screen.type("linux version")
    console.press("ret")
    console.screen.wait_for("Linux version 6")
    console.press("q", "esc")
    console.menu("Host Settings")
    console.open("Support Information")
    assert console.menu("Support Information").find("QEMU")
    console.press("q")
    console.menu("Host Settings")
    console.log_out()


def test_shutting_down_asks_for_the_password_and_once_more(console):
    console.press("f12")
    console.dialog("Log in to shut down or restart")
    console.enter_secrets(PASSWORD)
    box = console.dialog("Shut down or restart this host?")
    assert box.text.startswith("The host stops, and everything on it.")
    console.press("esc")
    console.status()
    console.log_in(PASSWORD)
    console.press("f12")
    console.dialog("Shut down or restart this host?")
    console.press("esc")
    console.menu("Host Settings")


# What does something


def test_the_network_can_be_tested_restarted_disabled_and_enabled(console):
    console.open("Test Management Network")
    assert f"Gateway        {GATEWAY}" in console.dialog("Test Management Network").rows
    console.enter("Name server 1", "")
    console.enter("Name", "")
    console.press("ret")
    console.dialog("Test Management Network", f"Ping {GATEWAY}")
    console.screen.wait_until(lambda picture: re.search(r" OK$", dialog(picture).rows[1]), "show that the gateway answers")
    console.press("esc")
    console.menu("Host Settings")
    console.open("Restart Management Network")
    console.dialog("Restart the management network?")
    console.press("f11")
    console.dialog("Management Network", "The management network has restarted.")
    console.press("ret")
    console.host.wait_for(lambda: f"{LEASED}/24 (DHCP)" in net_status(console.host), 60, "the address")
    console.open("Disable Management Network")
    console.dialog("Disable the management network?")
    console.press("f11")
    console.dialog("Management Network", "The management network is disabled now.")
    console.press("ret")
    console.host.wait_for(lambda: "vmk0" not in console.host.entries("/sys/class/net"), 60, "the end of vmk0")
    console.log_out()
    console.until_status(lambda picture: warnings(picture) == ["The management network is disabled."], "warn of that")
    console.log_in(PASSWORD)
    console.open("Enable Management Network")
    console.dialog("Enable the management network?")
    console.press("f11")
    console.dialog("Management Network", "The management network is enabled now.")
    console.press("ret")
    console.host.wait_for(lambda: reaches_gateway(console.host), 60, "the network")


def test_the_agents_can_be_restarted(console):
    host = console.host
    before = host.read_file("/run/wafer/agents")
    console.open("Troubleshooting")
    console.menu("Troubleshooting")
    console.open("Restart Management Agents")
    console.dialog("Restart the management agents?")
    console.press("f11")
    console.dialog("Management Agents", "The management agents have restarted.")
    console.press("ret", "esc")

    old = answers.agents(before)

    def are_back() -> bool:
        now = answers.agents(host.read_file("/run/wafer/agents"))
        return all(
            now[name].process != old[name].process and now[name].state == "running"
            for name in ("logd", "configd", "netd", "timed", "hostd"))

    host.wait_for(are_back, 90, "all agents")
    console.log_out()
    console.until_status(lambda picture: picture.find("virtual machines, 0 on") and facts(picture).get("IPv4"), "know the host again")


def test_the_network_and_the_password_are_changed(console):
    host = console.host
    console.log_in(PASSWORD)
    console.open("Management Network")
    console.menu("Management Network")
    console.open("IPv4")
    console.choose("Fixed:")
    console.enter("Address", "10.0.2.255")
    console.press("ret")
    console.dialog("IPv4", "10.0.2.255 is the address of a whole network, not of a host.")
    console.enter("Address", FIXED)
    console.enter("Mask", "255.255.255.0")
    console.enter("Gateway", GATEWAY)
    console.press("ret")
    console.menu("Management Network (changed)")
    console.open("DNS and Host Name")
    console.choose("Fixed:")
    console.enter("Server 1", "10.0.2.3")
    console.enter("Server 2", "192.0.2.53")
    console.enter("Host name", "esx-7.lab.example")
    console.press("ret")
    console.menu("Management Network (changed)")
    console.open("DNS Suffixes")
    console.enter("Suffixes", "lab.example, example")
    console.press("ret", "esc")
    console.dialog("Apply the changes?")
    console.press("y")
    console.dialog("Management Network", "The changes have been applied.", 90)
    console.press("ret")
    host.wait_for(lambda: f"{FIXED}/24 (fixed)" in net_status(host), 60, "the fixed address")
    host.wait_for(lambda: reaches_gateway(host), 60, "the network with its fixed address")

    # A network where nobody answers, as QEMU's knows no VLANs; what has to be seen is that the frames are tagged.
    console.open("Management Network")
    console.menu("Management Network")
    console.open("VLAN")
    console.enter("VLAN", "4096")
    console.press("ret")
    console.dialog("VLAN", "Enter the VLAN as a whole number from 0 to 4095.")
    console.enter("VLAN", "20")
    console.press("ret", "esc")
    console.dialog("Apply the changes?")
    console.press("y")
    console.dialog("Management Network", "The changes have been applied.", 90)
    console.press("ret")
    host.wait_for(lambda: '"Management Network" VLAN 20: vmk0' in net_status(host), 60, "the VLAN")
    host.wait_for(lambda: not reaches_gateway(host), 60, "the end of the way without VLAN")

    console.open("Password")
    console.dialog("Password of root")
    console.enter_secrets(PASSWORD, SECOND_PASSWORD, SECOND_PASSWORD)
    console.dialog("Password", "The password has been changed.")
    console.press("ret")
    console.open("Troubleshooting")
    console.menu("Troubleshooting")
    console.open("Console Idle Time")
    console.enter("Minutes", "25")
    console.press("ret")
    console.screen.wait_for("25 minutes")
    console.press("esc")
    console.menu("Host Settings")
    console.log_out()
    check_changed(console)


def check_changed(console: DirectConsole) -> None:
    """What was changed is on the screen, in the settings and in effect."""
    host = console.host
    picture = console.until_status(lambda picture: facts(picture).get("IPv4", "").startswith(FIXED), "show the address", 120)
    assert facts(picture)["IPv4"] == f"{FIXED}  fixed"
    assert facts(picture)["Host name"] == "esx-7.lab.example"
    assert warnings(picture) == []
    values = settings(host)
    assert values["hostName"] == "esx-7.lab.example"
    assert values["console.idleTimeout"] == "1500"
    assert values["access.rootPassword"].startswith("$argon2id$")
    status = net_status(host)
    assert re.search(rf'^vmk0 .*: {FIXED}/24 \(fixed\)$', status, re.MULTILINE), status
    assert '"Management Network" VLAN 20: vmk0' in status
    assert re.search(rf"^gateway +{GATEWAY}$", status, re.MULTILINE)
    assert re.search(r"^DNS +10\.0\.2\.3 192\.0\.2\.53$", status, re.MULTILINE)
    assert re.search(r"^search +lab\.example example$", status, re.MULTILINE)
    assert host.read_file("/proc/sys/kernel/hostname").strip() == "esx-7.lab.example"
    assert not reaches_gateway(host)


def test_a_restart_keeps_what_was_changed(console):
    host = console.host
    before = host.read_file("/proc/sys/kernel/random/boot_id")
    console.press("f12")
    console.dialog("Log in to shut down or restart")
    console.enter_secrets(SECOND_PASSWORD)
    console.dialog("Shut down or restart this host?")
    console.press("f11")
    host.wait_restart()
    assert host.read_file("/proc/sys/kernel/random/boot_id") != before
    check_changed(console)
    console.press("f2")
    console.dialog("Log in")
    console.enter_secrets(PASSWORD)
    console.dialog("Log in", "The user name or the password is wrong.")
    console.press("esc")
    console.log_in(SECOND_PASSWORD)


def test_restoring_the_network_makes_it_that_of_a_new_host(console):
    host = console.host
    console.open("Restore Network")
    console.dialog("Restore Network")
    console.press("ret")
    console.dialog("Restore the management network?")
    console.press("f11")
    console.dialog("Restore Network", "The management network is that of a new host now.")
    console.press("ret")
    console.log_out()
    picture = console.until_status(lambda picture: "DHCP" in facts(picture).get("IPv4", ""), "have an address from DHCP")
    assert facts(picture)["Host name"] == "localhost"
    assert reaches_gateway(host)
    status = net_status(host)
    assert '"Management Network" VLAN 0: vmk0' in status
    assert re.search(r"^DNS +10\.0\.2\.3 \(by DHCP\)$", status, re.MULTILINE)


# Trouble


def test_a_cable_that_is_pulled_is_missed_and_found_again(console):
    console.screen.monitor.command("set_link", name="net0", up=False)
    picture = console.until_status(lambda picture: warnings(picture), "warn of the cable")
    assert warnings(picture) == ["No network adapter has a link: check the cable."]
    assert re.search(r"^vmnic0 .*: disconnected", net_status(console.host), re.MULTILINE)
    console.screen.monitor.command("set_link", name="net0", up=True)
    picture = console.until_status(lambda picture: not warnings(picture), "be content again")
    console.host.wait_for(lambda: reaches_gateway(console.host), 60, "the network")


def test_ten_wrong_passwords_lock_the_account_for_a_while(console):
    host = console.host
    host.run(["wafer", "settings", "set", "access.lockSeconds", str(LOCK_SECONDS)]).check()
    console.status()
    console.press("f2")
    console.dialog("Log in")
    for number in range(1, 11):
        console.screen.type(f"x{number}")
        # Typing takes the last answer away.
        console.screen.wait_until(
            lambda picture: dialog(picture).title == "Log in" and "wrong" not in dialog(picture).text
            and "locked" not in dialog(picture).text, "take the answer away")
        console.press("ret")
        if number < FAILURES_MAX:
            box = console.dialog("Log in", "The user name or the password is wrong.")
            assert "locked" not in box.text
        else:
            console.dialog("Log in", "The account is locked after too many failed logins; try again in")
    console.enter_secrets(SECOND_PASSWORD)
    console.screen.wait_gone("**")
    console.dialog("Log in", "The account is locked after too many failed logins; try again in")
    console.press("esc")
    log = host.run(["wafer", "log", "auth"]).check().text + host.run(["wafer", "log", "hostd"]).check().text
    assert "root is locked for" in log and SECOND_PASSWORD not in log

    def is_open() -> bool:
        console.press("f2")
        console.dialog("Log in")
        console.enter_secrets(SECOND_PASSWORD)
        picture = console.screen.wait_until(
            lambda picture: picture.line(0).strip().startswith("Host Settings") or picture.find("locked"), "answer")
        if picture.find("locked"):
            console.press("esc")
            return False
        return True

    host.wait_for(is_open, LOCK_SECONDS + 60, "the end of the lock")
    console.log_out()


def test_a_console_that_is_left_alone_logs_out(console):
    console.host.run(["wafer", "settings", "set", "console.idleTimeout", "8"]).check()
    console.log_in(SECOND_PASSWORD)
    console.status(60)
    console.host.run(["wafer", "settings", "set", "console.idleTimeout", "600"]).check()


# Hosts that lack something


@pytest.fixture(scope="module", params=SIZES)
def bare(request):
    """The console of a host without a network card, without a disk, whose processor cannot run guests; it has a free slot."""
    slot = ["-device", "pcie-root-port,id=rootport,chassis=1", "-netdev", "user,id=spare"]
    machine = Machine(
        2, 1024, boot=Image(), firmware=request.param, restarts=True, network=False, virtualisation=False, extra=slot)
    with Host(f"test-console-bare-{request.param}", machine, PRODUCT) as host:
        yield DirectConsole(host)


NO_VIRTUALISATION = "Virtual machines cannot run: the processor has no virtualization."
NO_ADAPTER = "No network adapter was found, or none that this version has a driver for."
NO_PASSWORD = "No password is set: press F2, Enter, and choose Password."
NO_DISK = "There is no disk for virtual machines."


def test_what_a_host_lacks_is_said_in_plain_sentences(bare):
    picture = bare.until_status(lambda picture: len(warnings(picture)) == 4, "warn of all that is missing", 120)
    assert warnings(picture) == [NO_VIRTUALISATION, NO_ADAPTER, NO_PASSWORD, NO_DISK]
    assert facts(picture).get("Address", "None") == "None"


def test_a_network_card_can_be_put_in_and_taken_out(bare):
    monitor = bare.screen.monitor
    monitor.command("device_add", driver="virtio-net-pci", id="card", bus="rootport", netdev="spare", mac=MAC)
    picture = bare.until_status(lambda picture: "DHCP" in facts(picture).get("IPv4", ""), "have an address")
    assert facts(picture)["MAC address"] == MAC
    assert warnings(picture) == [NO_VIRTUALISATION, NO_PASSWORD, NO_DISK]
    bare.host.wait_for(lambda: reaches_gateway(bare.host), 60, "the network")
    monitor.command("device_del", id="card")
    bare.until_status(lambda picture: NO_ADAPTER in warnings(picture), "miss the card")


def test_a_factory_reset_forgets_the_password_and_restarts(bare):
    bare.log_in("")
    bare.open("Password")
    bare.dialog("Password of root")
    bare.enter_secrets(PASSWORD, PASSWORD)
    bare.dialog("Password", "The password has been changed.")
    bare.press("ret")
    bare.open("Factory Reset")
    bare.dialog("Forget every setting?")
    bare.press("f11")
    bare.host.wait_restart()
    bare.until_status(lambda picture: NO_PASSWORD in warnings(picture), "be without a password again", 120)
    assert "access.rootPassword" not in settings(bare.host) or not settings(bare.host)["access.rootPassword"]
