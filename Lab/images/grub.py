"""GRUB on a guest's disk, for BIOS and for UEFI, as Debian's own grub-install would leave it: without devices, so without grub-install.

Offsets are GRUB 2.06's: include/grub/i386/pc/boot.h and include/grub/offsets.h.
"""

from __future__ import annotations

import shutil
import struct
import uuid
from pathlib import Path

from .workshop import CACHE, MIB, SECTOR, need, run

LIBRARY = Path("/usr/lib/grub")
BIOS_BOOT = uuid.UUID("21686148-6449-6e6f-744e-656564454649")
EFI_SYSTEM = uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
BIOS_BOOT_SIZE = 1 * MIB
EFI_SYSTEM_SIZE = 16 * MIB

MODULES = """
    part_gpt ext2 normal linux configfile search search_label echo test serial terminal boot sleep reboot halt minicmd
""".split()
NEEDS = ["grub-mkimage", "mkfs.fat", "mcopy"]


def install(image: Path, bios_boot: int, efi_system: int, label: str) -> None:
    """Puts GRUB on a disk whose file system `label` holds /boot/grub/grub.cfg. The partitions are given by their first bytes."""
    need(*NEEDS)
    work = CACHE / f"{image.stem}.grub"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    early = work / "early.cfg"
    early.write_text(f"search --no-floppy --label {label} --set=root\nset prefix=($root)/boot/grub\n")
    _install_bios(image, bios_boot, _core("i386-pc", ["biosdisk"], early, work))
    _install_uefi(image, efi_system, _core("x86_64-efi", ["efi_gop", "all_video"], early, work), work)
    shutil.rmtree(work)


def _core(platform: str, modules: list[str], early: Path, work: Path) -> Path:
    core = work / f"{platform}.img"
    run(["grub-mkimage", "-O", platform, "-d", LIBRARY / platform, "-o", core, "-c", early, "-p", "/boot/grub", *MODULES, *modules])
    return core


def _install_bios(image: Path, place: int, core_image: Path) -> None:
    boot = bytearray((LIBRARY / "i386-pc" / "boot.img").read_bytes())
    core = bytearray(core_image.read_bytes())
    core += bytes(-len(core) % SECTOR)
    sector = place // SECTOR
    struct.pack_into("<Q", boot, 0x5C, sector)
    boot[0x64] = 0xFF  # from the drive that the BIOS names
    boot[0x66:0x68] = b"\x90\x90"  # whatever its number is
    struct.pack_into("<QHH", core, 0x1F4, sector + 1, len(core) // SECTOR - 1, 0x820)
    with image.open("r+b") as disk:
        disk.write(boot[:440])
        disk.seek(place)
        disk.write(core)


def _install_uefi(image: Path, place: int, program: Path, work: Path) -> None:
    partition = work / "esp.img"
    with partition.open("wb") as file:
        file.truncate(EFI_SYSTEM_SIZE)
    run(["mkfs.fat", "-n", "ESP", partition], stdout=-3)
    run(["mmd", "-i", partition, "::/EFI", "::/EFI/BOOT"])
    run(["mcopy", "-i", partition, program, "::/EFI/BOOT/BOOTX64.EFI"])
    with image.open("r+b") as disk:
        disk.seek(place)
        disk.write(partition.read_bytes())
