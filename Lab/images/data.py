"""The lab host's data disk: one ext4 file system with a folder for each virtual machine, as a datastore would have it."""

from __future__ import annotations

import os
from pathlib import Path

from . import disk, guest, mini
from .workshop import BUILD, CACHE, MIB, RECIPES, Product, need, remove_tree, say, sparse_size, timed

IMAGE = BUILD / "vmdata.img"
LABEL = "vmdata"
SIZE = 6144 * MIB

FOLDERS = {
    "vms/debian12": [guest.CONFIGURATION, guest.DISK, guest.EXTENT, guest.KERNEL, guest.INITRD],
    "vms/mini": [mini.CONFIGURATION, mini.KERNEL, mini.INITRD],
}


def build() -> Product:
    need("mke2fs", "e2fsck")
    parts = [guest.build(), mini.build()]
    inputs = [RECIPES / name for name in ("data.py", "disk.py")]
    # The stamps say when the parts were made anew.
    recipe = Product("data", [IMAGE], [*inputs, guest.CONFIGURATION, mini.CONFIGURATION, *(f"{part.fingerprint} {part.stamp.stat().st_mtime_ns}" for part in parts)])
    if recipe.fresh():
        say("data disk: nothing changed")
        return recipe
    recipe.forget()
    with timed("data disk: file system with the virtual machines"):
        tree = CACHE / "data-tree"
        remove_tree(tree)
        stage(tree)
        disk.make_file(IMAGE, SIZE)
        disk.make_ext4(IMAGE, tree, SIZE, LABEL, inodes=4096)
        disk.check_ext4(IMAGE)
        remove_tree(tree)
    recipe.done()
    say(f"data disk: {sparse_size(IMAGE)}")
    return recipe


def stage(tree: Path) -> None:
    """Hard links, so that no disk is copied twice."""
    for folder, files in FOLDERS.items():
        (tree / folder).mkdir(parents=True)
        for file in files:
            os.link(file, tree / folder / file.name)
