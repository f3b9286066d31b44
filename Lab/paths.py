"""Where things lie. Everything the lab makes is below build/."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
LAB = BUILD / "lab"
WAFER = BUILD / "wafer"
STATE = BUILD / "lab.json"
