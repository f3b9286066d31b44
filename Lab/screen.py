"""A simulated server's screen and keyboard: pictures, the text in them, keys."""

import functools
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from .paths import LAB
from .qemu import Monitor

GLYPH_HEIGHT = 16
# Text mode's glyphs are in the VGA BIOS of QEMU's card, those of the framebuffer console in the kernel: both are IBM's 8 by 16
# for code page 437, 256 glyphs of 16 bytes. The table is found by these two.
GLYPHS_AB = bytes.fromhex("000010386cc6c6fec6c6c6c6000000000000fc6666667c66666666fc00000000")
VGA_BIOS = Path("/usr/share/seabios/vgabios-stdvga.bin")
# What code page 437 shows for control characters.
CONTROLS = " ☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼"
UNKNOWN = "\N{REPLACEMENT CHARACTER}"

# QEMU's names of keys (qapi/ui.json, QKeyCode) that are not the character itself, and what needs Shift on a US keyboard.
KEYS = {
    " ": "spc", "\n": "ret", "\t": "tab", "\x1b": "esc", "-": "minus", "=": "equal", "[": "bracket_left",
    "]": "bracket_right", ";": "semicolon", "'": "apostrophe", "`": "grave_accent", "\\": "backslash", ",": "comma", ".": "dot",
    "/": "slash"}
SHIFTED = dict(zip('!@#$%^&*()_+{}:"~|<>?', "1234567890-=[];'`\\,./"))


@dataclass(frozen=True)
class Cell:
    """A character on the screen, and its colours as red, green, blue."""

    character: str
    foreground: tuple[int, int, int]
    background: tuple[int, int, int]


@functools.cache
def _glyphs(source: Path) -> dict[bytes, str]:
    data = source.read_bytes()
    position = data.find(GLYPHS_AB)
    start = position - ord("A") * GLYPH_HEIGHT
    if position < 0 or start < 0:
        raise RuntimeError(f"there is no 8 by 16 font in {source}")
    glyphs = {}
    # Letters last: where two look the same, as the blanks do, the plainer one is meant.
    for code in [*range(128, 256), *range(32), *range(32, 128)]:
        character = bytes([code]).decode("cp437") if code >= 32 else CONTROLS[code]
        glyphs[data[start + code * GLYPH_HEIGHT:start + (code + 1) * GLYPH_HEIGHT]] = character.replace("\xa0", " ")
    return glyphs


@functools.cache
def _kernel() -> Path:
    return next((LAB / "kernel" / "tree" / "boot").glob("vmlinux-*"))


class Picture:
    """The screen at one moment."""

    def __init__(self, ppm: bytes) -> None:
        # P6, width and height, the highest value (netpbm).
        kind, size, _, self._pixels = ppm.split(b"\n", 3)
        self.width, self.height = map(int, size.split())
        if kind != b"P6" or len(self._pixels) != self.width * self.height * 3:
            raise ValueError("this is no picture")
        # Text mode's cells are nine pixels wide, the ninth a gap.
        self.is_text_mode = (self.width, self.height) == (720, 400)
        self._cell_width = 9 if self.is_text_mode else 8
        self._known: dict[bytes, Cell] = {}

    @property
    def columns(self) -> int:
        return self.width // self._cell_width

    @property
    def rows(self) -> int:
        return self.height // GLYPH_HEIGHT

    def cell(self, row: int, column: int) -> Cell:
        """One character, row and column counted from zero."""
        first = (row * GLYPH_HEIGHT * self.width + column * self._cell_width) * 3
        pixels = b"".join(
            self._pixels[first + line * self.width * 3:first + line * self.width * 3 + 24] for line in range(GLYPH_HEIGHT))
        if pixels not in self._known:
            self._known[pixels] = self._recognise(pixels)
        return self._known[pixels]

    def _recognise(self, pixels: bytes) -> Cell:
        colours = [tuple(pixels[at:at + 3]) for at in range(0, len(pixels), 3)]
        common = [colour for colour, _ in Counter(colours).most_common()]
        if len(common) == 1:
            return Cell(" ", common[0], common[0])
        glyphs = _glyphs(VGA_BIOS if self.is_text_mode else _kernel())
        # Which of the two is the background the picture does not say: mostly the more frequent one.
        shapes = []
        for ground, ink in [common[:2], common[1::-1]]:
            bits = 0
            for colour in colours:
                bits = bits << 1 | (colour != ground)
            shape = bits.to_bytes(GLYPH_HEIGHT, "big")
            if shape in glyphs:
                return Cell(glyphs[shape], ink, ground)
            shapes.append((shape, ink, ground))
        # The cursor covers two lines at the foot of a cell.
        shape, ink, ground = shapes[0]
        for known, character in glyphs.items():
            if known[:13] == shape[:13]:
                return Cell(character, ink, ground)
        return Cell(UNKNOWN, ink, ground)

    def line(self, row: int) -> str:
        return "".join(self.cell(row, column).character for column in range(self.columns)).rstrip()

    def text(self) -> str:
        """All rows, without the blanks at their ends."""
        return "\n".join(self.line(row) for row in range(self.rows))

    def find(self, text: str) -> tuple[int, int] | None:
        """Row and column where a text stands; None if it does not."""
        for row in range(self.rows):
            column = self.line(row).find(text)
            if column >= 0:
                return row, column
        return None


class Screen:
    """A running host's screen and keyboard."""

    def __init__(self, monitor: Monitor, pictures: Path | None = None) -> None:
        self.monitor = monitor
        # Where pictures of unexpected screens go.
        self._pictures = pictures

    def screenshot(self, path: Path) -> Path:
        """Writes a picture as PNG."""
        self.monitor.command("screendump", filename=str(path), format="png")
        return path

    def picture(self) -> Picture:
        with tempfile.NamedTemporaryFile(suffix=".ppm") as file:
            self.monitor.command("screendump", filename=file.name)
            return Picture(Path(file.name).read_bytes())

    def text(self) -> str:
        return self.picture().text()

    def wait_for(self, text: str, timeout: float = 60) -> Picture:
        """Waits until a text is on the screen."""
        return self.wait_until(lambda picture: picture.find(text), f"show {text!r}", timeout)

    def wait_gone(self, text: str, timeout: float = 60) -> Picture:
        """Waits until a text is on the screen no more."""
        return self.wait_until(lambda picture: not picture.find(text), f"lose {text!r}", timeout)

    def wait_until(self, condition: Callable[[Picture], object], what: str, timeout: float = 60) -> Picture:
        """Waits until the screen fulfils a condition and stands still: a slow host draws line by line."""
        deadline = time.monotonic() + timeout
        before = None
        while True:
            picture = self.picture()
            text = picture.text() if condition(picture) else None
            if text is not None and text == before:
                return picture
            before = text
            if time.monotonic() > deadline:
                raise TimeoutError(f"the screen did not {what} within {timeout:.0f} s, but{self._saved()}:\n{picture.text()}")
            time.sleep(0.1)  # nothing tells that a screen has changed

    def _saved(self) -> str:
        if not self._pictures:
            return ""
        name = f"screen-{time.strftime('%H%M%S')}.png"
        return f" ({self.screenshot(self._pictures / name)})"

    def press(self, *keys: str) -> None:
        """Presses keys together and lets them go: `press("f2")`, `press("ctrl", "alt", "delete")`; names as QEMU's."""
        self.monitor.command("send-key", keys=[{"type": "qcode", "data": key} for key in keys], hold_time=60)
        # QEMU lets go by a timer of its own; keys that come meanwhile would be pressed with these.
        time.sleep(0.15)

    def type(self, text: str) -> None:
        """Types on a US keyboard."""
        for character in text:
            plain = SHIFTED.get(character, character.lower() if character.isupper() else character)
            key = KEYS.get(plain, plain)
            self.press(*(["shift"] if plain != character else []), key)
