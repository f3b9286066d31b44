"""Debian trees made by mmdebstrap, with the downloaded packages kept for the next time."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from .workshop import CACHE, BuildError, as_root, remove_tree, run

SUITE = "bookworm"

# Documentation and translations are half of a small tree's files and nobody reads them in a test guest.
# This is dpkg's own mechanism (dpkg(1), --path-exclude); licences stay.
UNWANTED = [
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/lintian/*",
    "path-exclude=/usr/share/bug/*",
    "force-unsafe-io",
]

# Settings of the building machine's apt that decide whether downloads work at all there.
INHERITED = ["Acquire::http::Proxy", "Acquire::https::Proxy", "Acquire::Check-Valid-Until", "Acquire::Check-Date"]


def sources() -> list[str]:
    """The archive lines: those of the building machine's own apt that are Debian's main component of our suite.

    WAFER_DEBIAN_MIRROR and WAFER_DEBIAN_SECURITY_MIRROR name others; both must be set.
    """
    mirror, security = os.environ.get("WAFER_DEBIAN_MIRROR"), os.environ.get("WAFER_DEBIAN_SECURITY_MIRROR")
    if mirror and security:
        return [f"deb {mirror} {SUITE} main", f"deb {mirror} {SUITE}-updates main", f"deb {security} {SUITE}-security main"]
    lines = _own_sources()
    if not lines:  # no lists fetched yet
        subprocess.run(as_root(["apt-get", "update", "-q"]), check=True, stdout=subprocess.DEVNULL)
        lines = _own_sources()
    if not lines:
        raise BuildError(f"apt on this machine has no sources for Debian {SUITE}; set WAFER_DEBIAN_MIRROR and WAFER_DEBIAN_SECURITY_MIRROR")
    return lines


def _own_sources() -> list[str]:
    form = "$(ORIGIN) $(COMPONENT) $(REPO_URI) $(CODENAME)"
    listing = subprocess.run(
        ["apt-get", "indextargets", "--format", form, "Created-By: Packages"], capture_output=True, text=True, check=True).stdout
    suites = {SUITE, f"{SUITE}-updates", f"{SUITE}-security"}
    found = {tuple(line.split()) for line in listing.splitlines()}
    return sorted(f"deb {entry[2]} {entry[3]} main" for entry in found if entry[:2] == ("Debian", "main") and entry[3] in suites)


def _inherited() -> list[str]:
    options = []
    for key in INHERITED:
        answer = subprocess.run(["apt-config", "shell", "VALUE", key], capture_output=True, text=True, check=False).stdout
        if answer.startswith("VALUE="):
            value = "".join(shlex.split(answer.removeprefix("VALUE=")))
            options.append(f'--aptopt={key} "{value}"')
    return options


def install(tree: Path, packages: Sequence[str], log: Path, hooks: Sequence[str]) -> None:
    """Installs a whole, configured Debian with the given packages and no recommended ones into `tree`."""
    _mmdebstrap(
        tree,
        log,
        [
            "--variant=minbase",
            "--skip=essential/unlink",  # the cached packages are our own, see the hooks
            *[f"--dpkgopt={option}" for option in UNWANTED],
            f"--include={','.join(packages)}",
            *_reuse(),
            *hooks,
            _keep("customize"),
        ],
    )


def extract(tree: Path, packages: Sequence[str], log: Path) -> None:
    """Only unpacks packages and what they depend on; nothing is configured. Enough for programs run through chroot."""
    _mmdebstrap(
        tree,
        log,
        [
            "--variant=extract",
            "--skip=download/empty",
            "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
            f"--include={','.join(packages)}",
            *_reuse(),
            _keep("extract"),
        ],
    )


def _cache() -> str:
    cache = CACHE / "debs"
    cache.mkdir(parents=True, exist_ok=True)
    return shlex.quote(str(cache))


def _reuse() -> list[str]:
    """Gives apt the packages that an earlier build downloaded; it takes those that are still current."""
    return [
        '--setup-hook=mkdir -p "$1/var/cache/apt/archives"',
        f'--setup-hook=cp --preserve=timestamps {_cache()}/*.deb "$1/var/cache/apt/archives/" 2>/dev/null || true',
    ]


def _keep(stage: str) -> str:
    """Keeps what was downloaded, at the end of a stage of mmdebstrap."""
    return f'--{stage}-hook=cp --update --preserve=timestamps "$1"/var/cache/apt/archives/*.deb {_cache()}/'


def _mmdebstrap(tree: Path, log: Path, options: Sequence[str]) -> None:
    log.unlink(missing_ok=True)
    remove_tree(tree)
    tree.parent.mkdir(parents=True, exist_ok=True)
    command = [
        "mmdebstrap",
        "--mode=root",
        "--format=directory",
        '--aptopt=Acquire::Retries "5"',
        '--aptopt=APT::Install-Recommends "false"',
        '--aptopt=Acquire::Languages "none"',
        *_inherited(),
        *options,
        SUITE,
        str(tree),
        *sources(),
    ]
    try:
        run(as_root(command), log=log)
    except Exception:
        remove_tree(tree)
        raise
