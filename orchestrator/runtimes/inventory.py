"""Which GPUs this host has: by the setting, by NVIDIA's library (NVML), or by both, looked at again now and then; and their gauges.

The library is asked anew each time, on a thread, since a GPU in trouble can make it wait: what fell off the bus is no longer given
out, and comes back by itself when the driver has it again. A worker that has it is not touched. A library that does not answer
has said nothing: what it said last stands.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

import pynvml

from orchestrator.placement.gpus import BadInventory, Device, declared, read, unread
from taskqueue.looks import Gauge

log = logging.getLogger(__name__)

EVERY_S = 30.0
FIRST_S = 20.0
"""How long a start waits for the first answer: without persistence mode, a driver wakes its GPUs one by one."""
_NO_DRIVER = (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, pynvml.NVML_ERROR_DRIVER_NOT_LOADED)


class Inventory:
    """The devices that workers may be given. Raises `BadInventory` for a setting that cannot be read.

    `setting`: the devices' ids (`0,1`; empty: none), or None: all that `find` finds (None: it does not answer).
    `first_s`: how long the first reading is waited for; what comes later is taken as it comes.
    """

    def __init__(
        self,
        setting: str | None,
        *,
        find: Callable[[], tuple[Device, ...] | None] | None = None,
        every_s: float = EVERY_S,
        first_s: float = FIRST_S,
    ) -> None:
        self._declared = None if setting is None else declared(setting)
        self._find = find or found_by_nvml
        self._every_s = every_s
        self._reading = unread(self._declared)
        self._refusal: BadInventory | None = None
        self._thread: threading.Thread | None = None
        self._read_at = time.monotonic()
        if self._declared == ():
            return
        first = self._begin()
        first.join(first_s)
        self._raise_refusal()
        if first.is_alive():
            log.warning(
                "NVML has not answered within %g s: until it does, GPUs are what OPSITE_GPUS says, or none", first_s
            )

    def devices(self) -> tuple[Device, ...]:
        """As they were last read, without waiting; an old reading is renewed meanwhile."""
        old = time.monotonic() - self._read_at > self._every_s
        if old and self._declared != () and (self._thread is None or not self._thread.is_alive()):
            try:
                self._raise_refusal()
            except BadInventory as error:  # no driver answered when the setting was read first
                log.error("%s Until then nothing of it changes.", error)
            self._begin()
        return self._reading.devices

    def names(self) -> Mapping[str, str]:
        """The identity of each index and uuid that was ever found. Ask after `devices`: a name more does no harm."""
        return self._reading.names

    def _raise_refusal(self) -> None:
        if self._refusal is not None:
            raise self._refusal

    def _begin(self) -> threading.Thread:
        self._refusal, self._read_at = None, time.monotonic()
        self._thread = threading.Thread(target=self._read, name="inventory", daemon=True)
        self._thread.start()
        return self._thread

    def _read(self) -> None:
        try:
            found = self._find()
            reading = self._reading if found is None else read(self._reading, self._declared, found)
        except BadInventory as error:
            self._refusal = error
            return
        except Exception:
            log.exception("the GPUs cannot be read: they are taken as they were")
            return
        before = {device.identity for device in self._reading.devices}
        now = {device.identity for device in reading.devices}
        known = {reading.names.get(identity, identity) for identity in before}
        self._reading = reading
        if gone := sorted(known - now):
            log.warning("GPU %s no longer answers: no worker is given it", ", ".join(gone))
        if come := sorted(now - known):
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


def gauges_by_nvml(devices: Iterable[str]) -> dict[str, Gauge]:
    """What these GPUs (by uuid, or by index where that is all that is known) say of themselves now.

    One that does not answer is absent. It may take long: not for the loop's thread.
    """
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return {}
    try:
        return {device: gauge for device in devices if (gauge := _gauge(device)) is not None}
    finally:
        with suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def _gauge(device: str) -> Gauge | None:
    try:
        by_index = device.isdigit()
        find = pynvml.nvmlDeviceGetHandleByIndex if by_index else pynvml.nvmlDeviceGetHandleByUUID
        handle = find(int(device) if by_index else device)
    except pynvml.NVMLError:
        return None
    memory = _told(pynvml.nvmlDeviceGetMemoryInfo, handle)
    rates = _told(pynvml.nvmlDeviceGetUtilizationRates, handle)
    return Gauge(
        device=device,
        name=str(_told(pynvml.nvmlDeviceGetName, handle) or ""),
        memory_used_mib=None if memory is None else int(memory.used) >> 20,
        memory_total_mib=None if memory is None else int(memory.total) >> 20,
        utilisation=None if rates is None else int(rates.gpu),
    )


def _told(ask: Callable[[Any], Any], handle: Any) -> Any:
    """Its answer; None where this GPU (a part of one, say) does not tell."""
    try:
        return ask(handle)
    except pynvml.NVMLError:
        return None


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
