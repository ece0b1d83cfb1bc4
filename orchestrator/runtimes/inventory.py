"""Which GPUs this host has: by the setting, by NVIDIA's library (NVML), or by both. Looked at again now and then.

The library is asked anew each time, on a thread, since a GPU in trouble can make it wait: what fell off the bus is no longer given
out, and comes back by itself when the driver has it again. A worker that has it is not touched. A library that does not answer
has said nothing: what it said last stands.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import pynvml

from orchestrator.placement.gpus import BadInventory, Device, declared, usable

log = logging.getLogger(__name__)

EVERY_S = 30.0
_NO_DRIVER = (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, pynvml.NVML_ERROR_DRIVER_NOT_LOADED)


class Inventory:
    """The devices that workers may be given. Raises `BadInventory` for a setting that cannot be read.

    `setting`: the devices' ids (`0,1`; empty: none), or None: all that `find` finds (None: it does not answer).
    """

    def __init__(
        self,
        setting: str | None,
        *,
        find: Callable[[], tuple[Device, ...] | None] | None = None,
        every_s: float = EVERY_S,
    ) -> None:
        self._declared = None if setting is None else declared(setting)
        self._find = find or found_by_nvml
        self._every_s = every_s
        self._once: frozenset[str] = frozenset()
        self._thread: threading.Thread | None = None
        self._read_at = time.monotonic()
        self._devices: tuple[Device, ...] = self._declared or ()
        if self._declared != ():
            self._read()

    def devices(self) -> tuple[Device, ...]:
        """As they were last read, without waiting; an old reading is renewed meanwhile."""
        old = time.monotonic() - self._read_at > self._every_s
        if old and self._declared != () and (self._thread is None or not self._thread.is_alive()):
            self._thread = threading.Thread(target=self._read_again, name="inventory", daemon=True)
            self._thread.start()
        return self._devices

    def _read_again(self) -> None:
        try:
            self._read()
        except BadInventory as error:  # no driver answered when the setting was read first
            log.error("%s Until then nothing of it changes.", error)

    def _read(self) -> None:
        self._read_at = time.monotonic()
        found = self._find()
        if found is None:
            return
        before = {device.id for device in self._devices}
        if self._declared is None:
            self._devices = found
        else:
            self._devices = usable(self._declared, found=found, once=self._once)
        self._once |= {name for device in found for name in (device.id, device.uuid)}
        now = {device.id for device in self._devices}
        if gone := sorted(before - now):
            log.warning("GPU %s no longer answers: no worker is given it", ", ".join(gone))
        if come := sorted(now - before):
            log.info("GPUs that workers may be given: %s more", ", ".join(come))


def found_by_nvml() -> tuple[Device, ...] | None:
    """All GPUs that answer; none without a driver; None where the library fails. Ids are indices in PCI order."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        if error.value in _NO_DRIVER:
            return ()
        log.warning("NVML does not answer (%s): the GPUs are taken as they were; OPSITE_GPUS names them", error)
        return None
    try:
        return tuple(device for index in range(pynvml.nvmlDeviceGetCount()) if (device := _device(index)) is not None)
    except pynvml.NVMLError as error:
        log.warning("NVML does not count the GPUs (%s): they are taken as they were", error)
        return None
    finally:
        with suppress(pynvml.NVMLError):
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
