"""Which GPUs this host has: by the setting, or as NVIDIA's own tool lists them."""

from __future__ import annotations

import logging
import shutil
import subprocess

log = logging.getLogger(__name__)


def gpus_of_host(setting: str | None) -> tuple[str, ...]:
    """Device ids: those of the setting (`0,1`; empty: none), or, when it is unset, those that `nvidia-smi` finds."""
    if setting is not None:
        return tuple(device.strip() for device in setting.split(",") if device.strip())
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    try:
        listed = subprocess.run(
            [tool, "--query-gpu=index", "--format=csv,noheader"], capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        log.warning(
            "nvidia-smi is there but does not answer (%s): no GPU is given to workers; OPSITE_GPUS names them", error
        )
        return ()
    return tuple(line.strip() for line in listed.stdout.splitlines() if line.strip().isdigit())
