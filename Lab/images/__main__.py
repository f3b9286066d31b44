"""`python3 -m Lab.images WHAT...`: builds images into build/ (WHAT: guest, mini, data, bench, all), or lists with `deps` what it needs."""

from __future__ import annotations

import argparse
import subprocess

from . import bench, data, guest, mini
from .workshop import BuildError, exclusive, fail

# Debian packages that the recipes need on the building machine, for `make deps`; qemu-system-x86 only for `Lab.images.prove`.
DEBIAN_PACKAGES = ["mmdebstrap", "debian-archive-keyring", "gpg", "e2fsprogs", "openssh-client", "libc-bin"]

RECIPES = {
    "guest": guest.build,
    "mini": mini.build,
    "data": data.build,
    "bench": bench.build,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python3 -m Lab.images", description=__doc__)
    parser.add_argument("what", nargs="+", choices=[*RECIPES, "all", "deps"])
    wanted = parser.parse_args().what
    if wanted == ["deps"]:
        print(" ".join(DEBIAN_PACKAGES))
        return
    try:
        with exclusive():
            for name in RECIPES if "all" in wanted else wanted:
                RECIPES[name]()
    except (BuildError, OSError, subprocess.SubprocessError) as error:
        fail(error)


if __name__ == "__main__":
    main()
