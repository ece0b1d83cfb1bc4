"""Which GPUs this host has: by the setting, by NVIDIA's library (NVML), or by both. Looked at again now and then.

The library is asked anew each time, on a thread, since a GPU in trouble can make it wait: what fell off the bus is no longer given
out, and comes back by itself when the driver has it again. A worker that has it is not touched.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import pynvml

from orchestrator.gpus import Device, declared, usable

log = logging.getLogger(__name__)

EVERY_S = 30.0
_NO_DRIVER = (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, pynvml.NVML_ERROR_DRIVER_NOT_LOADED)


class Inventory:
    """The devices that workers may be given. Raises `BadInventory` for a setting that cannot be read.

    `setting`: the devices' ids (`0,1`; empty: none), or None: all that `find` finds.
    """

    def __init__(
        self, setting: str | None, *, find: Callable[[], tuple[Device, ...]] | None = None, every_s: float = EVERY_S
    ) -> None:
        self._declared = None if setting is None else declared(setting)
        self._find = find or found_by_nvml
        self._every_s = every_s
        self._once: frozenset[str] = frozenset()
        self._thread: threading.Thread | None = None
        self._read_at = time.monotonic()
        self._devices: tuple[Device, ...] = ()
        if self._declared != ():
            self._read()

    def devices(self) -> tuple[Device, ...]:
        """As they were last read, without waiting; an old reading is renewed meanwhile."""
        old = time.monotonic() - self._read_at > self._every_s
        if old and self._declared != () and (self._thread is None or not self._thread.is_alive()):
            self._thread = threading.Thread(target=self._read, name="inventory", daemon=True)
            self._thread.start()
        return self._devices

    def _read(self) -> None:
        found = self._find()
        before = {device.id for device in self._devices}
        if self._declared is None:
            self._devices = found
        else:
            self._devices = usable(self._declared, found=found, once=self._once)
        self._once |= {name for device in found for name in (device.id, device.uuid)}
        self._read_at = time.monotonic()
        now = {device.id for device in self._devices}
        if gone := sorted(before - now):
            log.warning("GPU %s no longer answers: no worker is given it", ", ".join(gone))
        if come := sorted(now - before):
            log.info("GPUs that workers may be given: %s more", ", ".join(come))


def found_by_nvml() -> tuple[Device, ...]:
    """All GPUs that answer; none without a driver. Ids are indices in PCI order."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        if error.value not in _NO_DRIVER:
            log.warning("NVML does not answer (%s): no GPU is given to workers; OPSITE_GPUS names them", error)
        return ()
    try:
        return tuple(device for index in range(pynvml.nvmlDeviceGetCount()) if (device := _device(index)) is not None)
    except pynvml.NVMLError as error:
        log.warning("NVML does not count the GPUs (%s): no GPU is given to workers", error)
        return ()
    finally:
        pynvml.nvmlShutdown()


def _device(index: int) -> Device | None:
    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        return Device(
            str(index),
            memory_mib=int(pynvml.nvmlDeviceGetMemoryInfo(handle).total) >> 20,
            name=str(pynvml.nvmlDeviceGetName(handle)),
            uuid=str(pynvml.nvmlDeviceGetUUID(handle)),
        )
    except pynvml.NVMLError:
        return None
