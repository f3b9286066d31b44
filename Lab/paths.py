"""Where things lie. Everything the lab makes is below build/."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
LAB = BUILD / "lab"
WAFER = BUILD / "wafer"
# How to reach the background host. Another name is another background host.
STATE = Path(os.environ.get("WAFER_LAB_STATE") or BUILD / "lab.json")
