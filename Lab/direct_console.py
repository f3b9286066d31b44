"""The direct console as a person in front of the host has it: screens to read, keys to press."""

import re
from dataclasses import dataclass

from .host import Host
from .screen import Cell, Picture

# Where menus have their list and the title of the highlighted entry's explanation (Sources/Host/DCUI/Drawing/DrawMenu.swift).
LIST = slice(2, 32)
FIRST_ROW = 2
PANE = 36
# Answers that the emulated host takes its time for: a password's hash, a changed network.
PATIENCE = 60


@dataclass(frozen=True)
class Dialog:
    """The frontmost box on a screen."""

    title: str
    # What is in it, without the line of keys.
    rows: list[str]
    # Which of the rows the cursor bar or the cursor is in.
    focus: int | None

    @property
    def text(self) -> str:
        """All of it as running text."""
        return " ".join(row for row in self.rows if row)

    @property
    def focused(self) -> str:
        return "" if self.focus is None else self.rows[self.focus]


def dialog(picture: Picture) -> Dialog | None:
    """The frontmost box, if there is any."""
    # A box in front of a larger one begins below its top.
    for top in reversed(range(picture.rows)):
        found = re.search(r"┌─ (.+?) ─*┐", picture.line(top))
        if found:
            break
    else:
        return None
    left, right = found.start(), found.end() - 1
    rows, focus = [], None
    for row in range(top + 1, picture.rows):
        line = picture.line(row)
        if line[left:left + 1] in ("├", "└"):
            break
        rows.append(line[left + 1:right].strip())
        if any(_is_dark(picture.cell(row, column)) for column in range(left + 2, right - 1)):
            focus = len(rows) - 1
    return Dialog(found[1], rows, focus)


def _is_dark(cell: Cell) -> bool:
    return sum(cell.background) < 384


def entries(picture: Picture) -> list[str]:
    """A menu's entries."""
    rows = [picture.line(row)[LIST].strip() for row in range(FIRST_ROW, picture.rows - 1)]
    return [row for row in rows if row]


def facts(picture: Picture) -> dict[str, str]:
    """What the status screen says about the way to this host, by its label."""
    lines = [picture.line(row).strip() for row in range(picture.rows)]
    return dict(re.findall(r"^(Host name|IPv4|IPv6|Address|MAC address) +(.*)$", "\n".join(lines), re.MULTILINE))


def warnings(picture: Picture) -> list[str]:
    """The status screen's warnings, each in one line."""
    found: list[str] = []
    for row in range(picture.rows - 1):
        line = picture.line(row).strip()
        if line.startswith("! "):
            found.append(line[2:])
        elif found and line:
            found[-1] += f" {line}"
    return found


class DirectConsole:
    """Works with a host by its screen and keyboard alone."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.screen = host.screen()

    # Looking

    def status(self, timeout: float = 120) -> Picture:
        """Waits for the screen that nobody is logged in at."""
        return self.screen.wait_until(
            lambda picture: picture.find("Manage this host at") and not dialog(picture), "show the host's status", timeout)

    def until_status(self, condition, what: str, timeout: float = PATIENCE) -> Picture:
        """Waits until the status screen fulfils a condition."""
        return self.screen.wait_until(lambda picture: picture.find("Manage this host at") and condition(picture), what, timeout)

    def menu(self, title: str) -> Picture:
        """Waits for a list with this title, and nothing in front of it."""
        return self.screen.wait_until(
            lambda picture: picture.line(0).strip().startswith(title) and not dialog(picture), f"show the list {title!r}", PATIENCE)

    def dialog(self, title: str, saying: str = "", timeout: float = PATIENCE) -> Dialog:
        """Waits for a box with this title in front of everything, and a text in it."""
        def shows(picture: Picture) -> bool:
            front = dialog(picture)
            return bool(front and front.title == title and saying in front.text)

        return dialog(self.screen.wait_until(shows, f"show the box {title!r} {saying}", timeout))

    # Going about

    def press(self, *keys: str) -> None:
        """Presses keys one after another."""
        for key in keys:
            self.screen.press(key)

    def select(self, entry: str) -> Picture:
        """Highlights a menu's entry, which is then explained beside the list."""
        place = entries(self.screen.picture()).index(entry)
        self.press("home", *["down"] * place)
        return self.screen.wait_until(lambda picture: picture.line(FIRST_ROW)[PANE:] == entry, f"highlight {entry!r}", PATIENCE)

    def open(self, entry: str) -> None:
        """Highlights a menu's entry and presses Enter."""
        self.select(entry)
        self.press("ret")

    def log_in(self, password: str) -> None:
        """From the status screen into the menu."""
        self.status()
        self.press("f2")
        self.dialog("Log in")
        self.screen.type(password)
        self.press("ret")
        self.menu("Host Settings")

    def log_out(self) -> None:
        """From wherever in the menus back to the status screen, without changing anything."""
        for _ in range(5):
            if self.screen.picture().find("Manage this host at"):
                break
            self.press("esc")
        self.status()

    # Filling in

    def focus(self, label: str) -> None:
        """Goes on to the field of this label in the frontmost box."""
        first = None
        while True:
            present = dialog(self.screen.picture())
            if _label(present.focused).startswith(label):
                return
            if present.focus == first:
                raise AssertionError(f"the box {present.title!r} has no field {label!r} that can be used: {present.rows}")
            if first is None:
                first = present.focus
            self.press("down")
            self.screen.wait_until(lambda picture: dialog(picture).focus != present.focus, "move the cursor", PATIENCE)

    def enter(self, label: str, value: str) -> None:
        """Gives a text field another value."""
        self.focus(label)
        self.press("end")
        self.screen.press("ctrl", "u")
        self.screen.type(value)
        self.screen.wait_until(lambda picture: dialog(picture).focused.endswith(value), f"show {value!r} in {label!r}", PATIENCE)

    def choose(self, label: str) -> None:
        """Switches a check box, or a radio button on."""
        self.focus(label)
        before = dialog(self.screen.picture()).focused
        if before.startswith("(*)"):
            return
        self.press("spc")
        self.screen.wait_until(lambda picture: dialog(picture).focused != before, f"switch {label!r}", PATIENCE)

    def enter_secrets(self, *values: str) -> None:
        """Fills a box's hidden fields, from the first on, and presses Enter."""
        for number, value in enumerate(values):
            if number > 0:
                self.press("tab")
            self.screen.type(value)
        self.press("ret")


def _label(row: str) -> str:
    """A field's row without the mark of a check box or radio button."""
    return re.sub(r"^[\[(][ x*][\])] ", "", row)
