"""`python3 -m Lab.images.prove [guest|mini ...]`: boots the images in plain QEMU and checks what the system tests rely on.

Software emulation, so it runs anywhere; nothing of Wafer takes part. Disks are opened as snapshots and stay as built.
"""

from __future__ import annotations

import base64
import contextlib
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from . import bench, data, guest, mini, vmx
from .machine import Machine, free_port, machine
from .workshop import MIB, BuildError, fail, need, say


def guest_boots(kind: str = "q35") -> None:
    """The Debian guest on one kind of machine: `q35` plugs through PCIe root ports, `pc` through ACPI on bus 0 as Wafer does."""
    ssh, hello = free_port(), free_port()
    # The second kind gets its address from the command line instead of DHCP.
    command_line = vmx.DEBIAN_COMMAND_LINE + ("" if kind == "q35" else " ip=10.0.2.15::10.0.2.2:255.255.255.0::eth0:off")
    ports = ["-device", "pcie-root-port,id=slot1,chassis=1", "-device", "pcie-root-port,id=slot2,chassis=2"] if kind == "q35" else []
    with tempfile.NamedTemporaryFile() as extra, machine(
        *("-accel", "tcg", "-machine", kind, "-cpu", "max", "-m", "512"),
        *("-kernel", guest.KERNEL, "-initrd", guest.INITRD, "-append", command_line),
        *("-drive", f"if=none,id=disk,file={guest.EXTENT},format=raw,snapshot=on", "-device", "virtio-blk-pci,drive=disk"),
        *("-netdev", f"user,id=net,hostfwd=tcp:127.0.0.1:{ssh}-:22,hostfwd=tcp:127.0.0.1:{hello}-:7777"),
        *("-device", "virtio-net-pci,netdev=net,romfile=", "-device", "virtio-rng-pci", "-device", "virtio-balloon-pci"),
        *("-device", "virtio-serial-pci", "-chardev", "null,id=hvc", "-device", "virtconsole,chardev=hvc"),
        *ports,
    ) as vm:
        extra.truncate(64 * MIB)
        times = vm.expect_all("WAFER-GUEST-READY", "login:", timeout=600)
        facts = vm.line_with("WAFER-GUEST-READY")
        ready, login = times["WAFER-GUEST-READY"], times["login:"]
        say(f"guest on {kind}: ready after {ready:.1f} s, login prompt at {login:.1f} s, processor time {vm.processor_time():.1f} s ({facts})")
        check("eth0=10.0.2.15/24" in facts, "the guest has its address")
        check(answer(hello).startswith("WAFER-GUEST-HELLO guest"), "port 7777 answers")
        check(over_ssh(ssh, "systemctl is-system-running; findmnt -no SOURCE,FSTYPE /") == "running\n/dev/vda1 ext4", "sshd, all units")
        check(over_ssh(ssh, "ip route show default").startswith("default via 10.0.2.2 dev eth0"), "a default route")
        check("/dev/hvc0" in over_ssh(ssh, "ls /dev/hvc0; pgrep -a agetty"), "a login on the virtio console")
        vm.type("root\n")
        vm.expect("Password:", 240)
        vm.type("wafer\n")
        vm.expect("root@guest:~#", 240)
        say("logged in on the serial console")
        hot_plug(vm, ssh, Path(extra.name), bool(ports))
        vm.command("system_powerdown")
        say(f"guest on {kind}: switched off {vm.ended(120):.1f} s after the power button")


def hot_plug(vm: Machine, ssh: int, extra: Path, slots: bool) -> None:
    def bus(number: int) -> dict[str, str]:
        return {"bus": f"slot{number}"} if slots else {}

    vm.command("blockdev-add", driver="file", **{"node-name": "extra", "filename": str(extra)})
    vm.command("device_add", driver="virtio-blk-pci", id="hotdisk", drive="extra", **bus(1))
    vm.command("netdev_add", type="user", id="hotnet")
    vm.command("device_add", driver="virtio-net-pci", id="hotport", netdev="hotnet", romfile="", **bus(2))
    eventually(ssh, "test -b /dev/vdb && ip -br -4 address show eth1 | grep -o 10.0.2.15", "10.0.2.15", "a disk and a port plugged in")
    written = over_ssh(ssh, "mkfs.ext4 -q /dev/vdb && mount /dev/vdb /mnt && echo kept >/mnt/file && umount /mnt && echo ok")
    check(written == "ok", "the plugged disk takes a file system")
    vm.command("device_del", id="hotdisk")
    vm.command("device_del", id="hotport")
    eventually(ssh, "test ! -e /dev/vdb && test ! -e /sys/class/net/eth1 && echo gone", "gone", "both unplugged")


def mini_boots() -> None:
    tests = "cpus:2,memory,rng,hvc,blk-verify,discard,flush,blk-read,net,echo,button"
    script = encoded("test $(nproc) = 2 && echo script-ran")
    with tempfile.NamedTemporaryFile() as disk:
        disk.truncate(64 * MIB)
        with machine(
            *("-accel", "tcg", "-machine", "q35", "-cpu", "max", "-m", "256", "-smp", "2"),
            *("-kernel", mini.KERNEL, "-initrd", mini.INITRD),
            *("-append", f"{vmx.MINI_COMMAND_LINE} wafer.test={tests} wafer.sh={script} wafer.end=shell"),
            *("-drive", f"if=none,id=disk,file={disk.name},format=raw", "-device", "virtio-blk-pci,drive=disk"),
            *("-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile=", "-device", "virtio-rng-pci"),
            *("-device", "virtio-serial-pci", "-chardev", "null,id=hvc", "-device", "virtconsole,chardev=hvc"),
        ) as vm:
            say(f"minimal guest on q35: init after {vm.expect('GUEST-INIT-OK', 240):.1f} s")
            vm.expect("GUEST-NET-OK eth0 10.0.2.15/24", 240)
            for name in ("cpus", "memory", "rng", "hvc", "blk-verify", "discard", "flush", "blk-read", "net"):
                verdict(vm, name)
            vm.expect("GUEST-ECHO-READY", 240)
            vm.type("a line\nend\n")
            vm.expect("ECHO a line", 240)
            verdict(vm, "echo")
            vm.expect("GUEST-BUTTON-READY", 240)
            vm.command("system_powerdown")
            verdict(vm, "button")
            vm.expect("script-ran", 240)
            vm.expect("GUEST-DONE pass", 240)
            vm.type("echo shell-$((6 * 7)); poweroff -f\n")
            vm.expect("shell-42", 240)
            vm.ended(240)


def mini_plugs() -> None:
    """Hot-plug through ACPI on bus 0, and the services on a static address."""
    echo, hello, shell = free_port(), free_port(), free_port()
    forward = f"hostfwd=tcp:127.0.0.1:{echo}-:7,hostfwd=tcp:127.0.0.1:{hello}-:7777,hostfwd=tcp:127.0.0.1:{shell}-:7070"
    with tempfile.NamedTemporaryFile() as extra, echo_server() as peer, machine(
        *("-accel", "tcg", "-machine", "pc", "-cpu", "max", "-m", "256", "-kernel", mini.KERNEL, "-initrd", mini.INITRD, "-append"),
        f"{vmx.MINI_COMMAND_LINE} wafer.net=10.0.2.15/24,10.0.2.2 wafer.test=net-echo:10.0.2.2/{peer},hotplug wafer.end=poweroff",
        *("-netdev", f"user,id=net,{forward}", "-device", "virtio-net-pci,netdev=net,romfile="),
    ) as vm:
        extra.truncate(64 * MIB)
        vm.expect("GUEST-NET-OK eth0 10.0.2.15/24 gateway=10.0.2.2", 240)
        verdict(vm, "net-echo")
        vm.expect("GUEST-HOTPLUG-READY", 240)
        check(answer(hello).startswith("WAFER-GUEST-HELLO mini"), "port 7777 answers")
        check(answer(echo, "to and fro\n") == "to and fro\n", "port 7 echoes")
        check(answer(shell, "echo $((6 * 7))\n") == "42\n", "port 7070 runs a shell")
        vm.command("blockdev-add", driver="file", **{"node-name": "extra", "filename": extra.name})
        vm.command("device_add", driver="virtio-blk-pci", id="hotdisk", drive="extra")
        vm.expect(f"GUEST-ADDED vda {64 * MIB // 512}", 240)
        vm.command("netdev_add", type="user", id="hotnet")
        vm.command("device_add", driver="virtio-net-pci", id="hotport", netdev="hotnet", romfile="", mac="00:50:56:00:00:77")
        vm.expect("GUEST-ADDED eth1 00:50:56:00:00:77", 240)
        vm.command("device_del", id="hotdisk")
        vm.expect("GUEST-REMOVED vda", 240)
        vm.command("device_del", id="hotport")
        vm.expect("GUEST-REMOVED eth1", 240)
        vm.type("end\n")
        verdict(vm, "hotplug")
        vm.ended(240)


@contextlib.contextmanager
def echo_server() -> Iterator[int]:
    """Answers what it is sent, on a port of this machine; serves one connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError), server.accept()[0] as connection:
                while data := connection.recv(65536):
                    connection.sendall(data)

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]


def bench_runs_guests() -> None:
    """QEMU from the bench userland runs both guests through nested KVM: a host of ours in all but its init."""
    nested = "qemu-system-x86_64 -nodefaults -display none -no-reboot -serial stdio -accel kvm -cpu host"
    # Its ACPI must be on: Debian's kernel takes no virtio-mmio devices from the command line.
    microvm = nested.replace("x86_64", "x86_64-microvm", 1) + " -machine microvm,acpi=on"
    disk = "-drive if=none,id=disk,file=/vms/vms/debian12/debian12-flat.vmdk,format=raw,snapshot=on -device virtio-blk-pci,drive=disk"
    script = f"""
        mount -o ro /dev/vdb /mnt/vms
        run() {{ chroot /mnt "$@" </dev/null; }}
        run fio --version
        echo STARTING; run {nested} -machine q35 -m 256 -kernel /vms/vms/mini/vmlinuz -initrd /vms/vms/mini/initrd.img \
            -append '{vmx.MINI_COMMAND_LINE} wafer.end=poweroff'
        echo STARTING; run {microvm} -m 256 -kernel /vms/vms/mini/vmlinuz -initrd /vms/vms/mini/initrd.img \\
            -append '{vmx.MINI_COMMAND_LINE} wafer.end=poweroff'
        echo STARTING; run {nested} -machine q35 -m 512 {disk} -kernel /vms/vms/debian12/vmlinuz -initrd /vms/vms/debian12/initrd.img \
            -netdev user,id=net -device virtio-net-pci,netdev=net,romfile= \
            -append '{vmx.DEBIAN_COMMAND_LINE}'
    """
    with tempfile.TemporaryDirectory() as folder:
        # The script is too long for a command line, so it is a disk of its own; `exit` keeps the shell from reading the padding.
        third = Path(folder) / "script"
        third.write_text(script + "\nexit 0\n")
        with third.open("ab") as file:
            file.truncate(MIB)
        words = f"wafer.test=chroot:vda wafer.sh={encoded('sh /dev/vdc')}"
        with machine(
            *("-accel", "tcg,thread=multi", "-machine", "q35", "-cpu", "EPYC,+svm,+npt", "-m", "1536", "-smp", "2"),
            *("-kernel", mini.KERNEL, "-initrd", mini.HOST_INITRD, "-append"),
            f"{vmx.MINI_COMMAND_LINE} {words} wafer.end=poweroff",
            *drive("bench", bench.IMAGE),
            *drive("data", data.IMAGE),
            *drive("script", third),
        ) as vm:
            vm.expect("GUEST-TEST chroot pass", 240)
            vm.expect("fio-3", 240)
            for name, marks in [("minimal", ["GUEST-INIT-OK"]), ("minimal (microvm)", ["GUEST-INIT-OK"]), ("Debian", ["login:", "WAFER-GUEST-READY"])]:
                start, used = vm.expect("STARTING", 240), vm.processor_time()
                for mark in marks:
                    wall = vm.expect(mark, 600) - start
                    say(f"{name} guest through nested KVM: {mark} after {wall:.1f} s, processor time {vm.processor_time() - used:.1f} s")


def encoded(script: str) -> str:
    return base64.b64encode(script.encode()).decode()


def drive(name: str, path: Path) -> list[str]:
    return ["-drive", f"if=none,id={name},file={path},format=raw,snapshot=on", "-device", f"virtio-blk-pci,drive={name}"]


def verdict(vm: Machine, name: str) -> None:
    vm.expect(f"GUEST-TEST {name} ", 240)
    check(vm.line_with(f"GUEST-TEST {name} ") == f"GUEST-TEST {name} pass", f"minimal guest's {name}")


def check(condition: bool, what: str) -> None:
    if not condition:
        raise BuildError(f"failed: {what}")
    say(f"ok: {what}")


def answer(port: int, question: str = "") -> str:
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        connection.sendall(question.encode())
        return connection.makefile().readline()


def over_ssh(port: int, command: str) -> str:
    options = ["-i", str(guest.KEY), "-p", str(port), "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
    done = subprocess.run(["ssh", *options, "root@127.0.0.1", command], capture_output=True, text=True, timeout=120, check=False)
    return done.stdout.strip() or done.stderr.strip()


def eventually(port: int, command: str, wanted: str, what: str) -> None:
    deadline = time.monotonic() + 60
    while over_ssh(port, command) != wanted:
        if time.monotonic() > deadline:
            raise BuildError(f"failed: {what}")
        time.sleep(0.5)
    say(f"ok: {what}")


PROOFS = {
    "guest": [lambda: guest_boots("q35"), lambda: guest_boots("pc")],
    "mini": [mini_boots, mini_plugs],
    "bench": [bench_runs_guests],
}


def main() -> None:
    try:
        need("qemu-system-x86_64", "ssh")
        for name in sys.argv[1:] or PROOFS:
            for proof in PROOFS[name]:
                proof()
    except (BuildError, OSError, KeyError, subprocess.SubprocessError) as error:
        fail(error)


if __name__ == "__main__":
    main()
