"""What every benchmark says of where it ran, and how it reads the CPU of other processes."""

from __future__ import annotations

import os
import platform
import shlex
import socket
import statistics
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import psutil


def machine() -> str:
    """Cores, processor and Python in one line."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    return f"{os.cpu_count()} cores, {model}, Linux {platform.release()}, Python {platform.python_version()}"


def command() -> str:
    """How this run was started."""
    module = Path(sys.argv[0]).stem
    return shlex.join(["python", "-m", f"benchmarks.{module}", *sys.argv[1:]])


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def cpu_s(pids: Iterable[int]) -> float:
    """User and system seconds of these processes and all their living descendants."""
    total = 0.0
    for pid in pids:
        try:
            top = psutil.Process(pid)
            for process in [top, *top.children(recursive=True)]:
                times = process.cpu_times()
                total += times.user + times.system
        except psutil.NoSuchProcess:
            continue
    return total


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of all lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Median, with the lowest and highest of the rounds."""
    if not values:
        return "-"
    return f"{statistics.median(values):.{digits}f} [{min(values):.{digits}f}–{max(values):.{digits}f}]"
