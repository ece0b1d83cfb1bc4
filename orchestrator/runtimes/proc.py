"""Reading /proc: is this pid still the process that we started, or has another one got its number?"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

EXEC_S, EXEC_LOOKS = 0.1, 20
_BOOT_LINE = "btime "


def start_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None when it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
    if fields[0] in ("Z", "X"):
        return None
    return int(fields[19])


def started_at(ticks: int) -> float:
    """Clock ticks since boot as Unix time."""
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith(_BOOT_LINE):
            return int(line.removeprefix(_BOOT_LINE)) + ticks / os.sysconf("SC_CLK_TCK")
    return 0.0


def environment(pid: int) -> dict[str, str]:
    """The environment that a process was started with; empty when it is gone or not ours to read."""
    try:
        raw = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return {}
    pairs = (item.partition("=") for item in raw.decode(errors="replace").split("\0") if "=" in item)
    return {name: value for name, _, value in pairs}


def settled_environment(pid: int) -> dict[str, str]:
    """The same of a process that may have just begun: the kernel shows an empty one for a moment then."""
    for _ in range(EXEC_LOOKS):
        if env := environment(pid):
            return env
        time.sleep(EXEC_S / EXEC_LOOKS)
    return {}


def pids() -> list[int]:
    """All processes that can be seen."""
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


@dataclass(frozen=True, slots=True)
class Use:
    """Seconds of CPU since the start, and resident bytes; memory that processes share counts for each of them."""

    cpu_s: float
    memory_bytes: int


def session_use(leader: int) -> Use:
    """What the living processes of a session use, a worker's engine with its own children included."""
    ticks = pages = 0
    for pid in pids():
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue  # it has ended meanwhile
        if int(fields[3]) == leader:
            ticks += int(fields[11]) + int(fields[12])
            pages += int(fields[21])
    return Use(ticks / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE"))
