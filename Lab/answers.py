"""What a host's commands and files say, taken apart."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Agent:
    """An agent as PID 1 keeps it, in /run/wafer/agents."""

    # 0 while none runs.
    process: int
    state: str
    restarts: int


def agents(text: str) -> dict[str, Agent]:
    """By name, from /run/wafer/agents."""
    lines = (line.split("\t") for line in text.splitlines())
    return {name: Agent(int(process), state, int(restarts)) for name, process, state, restarts in lines}


def machines(text: str) -> dict[str, str]:
    """What each virtual machine does, by name, from `wafer host list`."""
    rows = [re.split(r"  +", line) for line in text.splitlines()[1:]]
    return {row[0]: row[1] for row in rows}
