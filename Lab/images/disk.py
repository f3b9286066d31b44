"""Disks without loop devices or mounts: a GPT label, an ext4 file system at its offset, and the VMDK descriptor that names the disk."""

from __future__ import annotations

import binascii
import struct
import uuid
from pathlib import Path

from . import grub
from .workshop import CACHE, MIB, SECTOR, BuildError, as_root, give_back, run

FIRST_PARTITION = 1 * MIB
TAIL = 1 * MIB  # room for the backup label, kept whole MiB so that every size here is
ENTRIES = 128
ENTRY_SIZE = 128
LINUX_ROOT_X86_64 = uuid.UUID("4f68bce3-e8cd-4db1-96e7-fbcaf984b709")  # UAPI group, Discoverable Partitions Specification

# Everything the kernel would otherwise finish in the background after the first mount is done now: a benchmark or a power cut must
# not meet ext4's lazy initialisation.
FEATURES = "lazy_itable_init=0,lazy_journal_init=0,nodiscard"


def make_file(path: Path, size: int) -> None:
    """An empty sparse file of exactly `size` bytes. One that stands there is not written to: it may have other names."""
    path.unlink(missing_ok=True)
    with path.open("wb") as file:
        file.truncate(size)


def make_ext4(image: Path, tree: Path, size: int, label: str, offset: int = 0, inodes: int = 0) -> None:
    """Puts an ext4 file system holding `tree` at `offset` of an image that exists. For a few large files say few `inodes`."""
    extended = FEATURES + (f",offset={offset}" if offset else "")
    count = ["-N", str(inodes)] if inodes else []
    command = ["mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-m", "0", *count, "-L", label, "-E", extended]
    command += ["-d", str(tree), str(image), f"{size // 1024}k"]
    run(as_root(command))
    give_back(image)


def check_ext4(image: Path, offset: int = 0) -> None:
    """Runs a full check that changes nothing; a fresh image with an error is a build error."""
    log = CACHE / f"{image.stem}.fsck.log"
    log.unlink(missing_ok=True)
    run(["e2fsck", "-fn", f"{image}?offset={offset}" if offset else image], log=log)


def make_bootable(path: Path, tree: Path, size: int, label: str) -> None:
    """A GPT disk that BIOS and UEFI start GRUB from. Its first partition, from 1 MiB on, holds `tree` as ext4. Sizes are whole MiB."""
    root_end = size - TAIL - grub.BIOS_BOOT_SIZE - grub.EFI_SYSTEM_SIZE
    if size % MIB or root_end <= FIRST_PARTITION:
        raise BuildError(f"a disk of {size} bytes is no whole number of MiB, or has no room")
    make_file(path, size)
    make_ext4(path, tree, root_end - FIRST_PARTITION, label, FIRST_PARTITION)
    esp = root_end + grub.BIOS_BOOT_SIZE
    write_gpt(path, [
        (FIRST_PARTITION, root_end, LINUX_ROOT_X86_64, label),
        (root_end, esp, grub.BIOS_BOOT, "grub"),
        (esp, size - TAIL, grub.EFI_SYSTEM, "esp"),
    ])
    grub.install(path, root_end, esp, label)


def write_gpt(path: Path, partitions: list[tuple[int, int, uuid.UUID, str]]) -> None:
    """Writes a protective MBR and both copies of the label (UEFI 2.10, section 5). Partitions are (first byte, end byte, type, name)."""
    sectors = path.stat().st_size // SECTOR
    table_sectors = ENTRIES * ENTRY_SIZE // SECTOR
    table = bytearray(ENTRIES * ENTRY_SIZE)
    for index, (start, end, kind, name) in enumerate(partitions):
        entry = struct.pack(
            "<16s16sQQQ72s",
            kind.bytes_le,
            uuid.uuid4().bytes_le,
            start // SECTOR,
            end // SECTOR - 1,
            0,
            name.encode("utf-16-le")[:72],
        )
        table[index * ENTRY_SIZE : index * ENTRY_SIZE + len(entry)] = entry
    disk = uuid.uuid4().bytes_le
    table_sum = binascii.crc32(table)

    def header(own: int, other: int, table_at: int) -> bytes:
        def pack(checksum: int) -> bytes:
            return struct.pack(
                "<8sIIIIQQQQ16sQIII",
                b"EFI PART",
                0x00010000,
                92,
                checksum,
                0,
                own,
                other,
                2 + table_sectors,
                sectors - table_sectors - 2,
                disk,
                table_at,
                ENTRIES,
                ENTRY_SIZE,
                table_sum,
            )

        return pack(binascii.crc32(pack(0))).ljust(SECTOR, b"\0")

    # One protective entry of type 0xEE over the whole disk; the CHS fields hold "too large".
    protective = struct.pack("<B3sB3sII", 0, b"\x00\x02\x00", 0xEE, b"\xff\xff\xff", 1, min(sectors - 1, 0xFFFFFFFF))
    with path.open("r+b") as file:
        file.seek(446)
        file.write(protective)
        file.seek(510)
        file.write(b"\x55\xaa" + header(1, sectors - 1, 2) + table)
        file.seek((sectors - 1 - table_sectors) * SECTOR)
        file.write(bytes(table) + header(sectors - 1, 1, sectors - 1 - table_sectors))


def vmdk_descriptor(extent: str, size: int, content_id: int) -> str:
    """The text descriptor of a disk whose bytes are one flat file (VMware Virtual Disk Format 5.0, "The Descriptor File")."""
    cylinders = min(size // SECTOR // (255 * 63), 65535)
    return f"""# Disk DescriptorFile
version=1
encoding="UTF-8"
CID={content_id & 0xFFFFFFFF:08x}
parentCID=ffffffff
isNativeSnapshot="no"
createType="monolithicFlat"

# Extent description
RW {size // SECTOR} FLAT "{extent}" 0

# The Disk Data Base
#DDB

ddb.adapterType = "lsilogic"
ddb.geometry.cylinders = "{cylinders}"
ddb.geometry.heads = "255"
ddb.geometry.sectors = "63"
ddb.virtualHWVersion = "19"
"""
