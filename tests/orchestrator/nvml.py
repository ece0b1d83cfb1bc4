"""A declared stand-in for NVIDIA's library, at its C interface: pynvml calls these functions as it calls libnvidia-ml's."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pynvml
import pytest

NOT_FOUND, NOT_SUPPORTED, LOST = (
    pynvml.NVML_ERROR_NOT_FOUND,
    pynvml.NVML_ERROR_NOT_SUPPORTED,
    pynvml.NVML_ERROR_GPU_IS_LOST,
)
MIB = 1 << 20
_Function = Callable[..., int]


@dataclass
class Gpu:
    """One GPU; what it does not tell is None."""

    uuid: str
    used_mib: int = 0
    total_mib: int = 81_559
    utilisation: int | None = 0
    name: str = "NVIDIA H100 80GB HBM3"
    is_lost: bool = False


class Nvml:
    """The library's functions, each a C function pointer. Handles are the numbers of the GPUs, from 1."""

    def __init__(self, *gpus: Gpu) -> None:
        self.gpus = list(gpus)
        pointer, number = ctypes.c_void_p, ctypes.c_uint
        self._offer("nvmlInitWithFlags", lambda flags: 0, number)
        self._offer("nvmlShutdown", lambda: 0)
        self._offer("nvmlDeviceGetCount_v2", self._count, pointer)
        self._offer("nvmlDeviceGetHandleByIndex_v2", self._handle, number, pointer)
        self._offer("nvmlDeviceGetHandleByUUID", self._by_uuid, ctypes.c_char_p, pointer)
        self._offer("nvmlDeviceGetName", lambda gpu, out, size: self._text(gpu, out, "name"), pointer, pointer, number)
        self._offer("nvmlDeviceGetUUID", lambda gpu, out, size: self._text(gpu, out, "uuid"), pointer, pointer, number)
        self._offer("nvmlDeviceGetMemoryInfo", self._memory, pointer, pointer)
        self._offer("nvmlDeviceGetUtilizationRates", self._utilisation, pointer, pointer)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """In this process."""
        monkeypatch.setattr(pynvml, "nvmlLib", self)
        monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})

    def _offer(self, name: str, function: _Function, *arguments: Any) -> None:
        setattr(self, name, ctypes.CFUNCTYPE(ctypes.c_int, *arguments)(function))

    def _count(self, out: int) -> int:
        _write(out, ctypes.c_uint(len(self.gpus)))
        return 0

    def _handle(self, index: int, out: int) -> int:
        if index >= len(self.gpus):
            return int(NOT_FOUND)
        _write(out, ctypes.c_void_p(index + 1))
        return int(LOST) if self.gpus[index].is_lost else 0

    def _by_uuid(self, uuid: bytes, out: int) -> int:
        uuids = [gpu.uuid for gpu in self.gpus]
        return self._handle(uuids.index(uuid.decode()), out) if uuid.decode() in uuids else int(NOT_FOUND)

    def _text(self, handle: int, out: int, what: str) -> int:
        _write(out, ctypes.create_string_buffer(getattr(self.gpus[handle - 1], what).encode()))
        return 0

    def _memory(self, handle: int, out: int) -> int:
        gpu = self.gpus[handle - 1]
        free = gpu.total_mib - gpu.used_mib
        _write(out, pynvml.c_nvmlMemory_t(gpu.total_mib * MIB, free * MIB, gpu.used_mib * MIB))
        return 0

    def _utilisation(self, handle: int, out: int) -> int:
        gpu = self.gpus[handle - 1]
        if gpu.utilisation is None:
            return int(NOT_SUPPORTED)
        _write(out, pynvml.c_nvmlUtilization_t(gpu.utilisation, 0))
        return 0


def _write(out: int, value: Any) -> None:
    ctypes.memmove(out, ctypes.byref(value), ctypes.sizeof(value))
