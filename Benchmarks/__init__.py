"""The comparison with Debian's QEMU: both run on one simulated server in one run, taking turns. See `__main__.py`."""
