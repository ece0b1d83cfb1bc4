"""Is a server there? Asked of its unix socket and of the kernel, never of the server: one that is paused is there too."""

from __future__ import annotations

import socket
from pathlib import Path

PROBE_S = 1.0


def listens(path: Path) -> bool:
    """Whether a process has the unix socket open."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(PROBE_S)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:  # its queue of connections is full
            return True
    return True


def is_zombie(pid: int) -> bool:
    """Ended, and not yet reaped by its parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return False
