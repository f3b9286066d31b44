"""Disk images that the lab boots: the Debian guest, the minimal guest, the bench host's userland and the lab host's data disk.

`python3 -m Lab.images all` builds what is missing or older than its inputs, everything under `build/`. See README.md beside this file.
"""
