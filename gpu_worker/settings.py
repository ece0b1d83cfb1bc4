"""A worker's settings, from the environment alone, so that every runtime starts it the same way."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from gpu_worker.failures import BadSetting
from gpu_worker.tool_formats.chosen import FORMATS
from taskqueue import keys

T = TypeVar("T", bound=msgspec.Struct)
LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["plain", "json"]
Positive = Annotated[int, Meta(ge=1)]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What `python -m gpu_worker` was told. `lease_s` is how long Redis waits for a sign of life.

    `tool_format` is how the model writes tool calls: a name of `gpu_worker.tool_formats.chosen.FORMATS`, or `auto`: as its chat
    template tells. `cache_salt_key` is for the workers of a pool to salt their prefix caches alike; by itself a worker makes up
    its own.
    """

    redis_url: Annotated[str, Meta(pattern=r"^(rediss?|unix)://")]
    pool: str
    engine: str
    worker_id: str
    model: str = ""
    slots: Positive = 8
    lease_s: Annotated[float, Meta(ge=0.2)] = 5.0
    engine_args: dict[str, Any] = msgspec.field(default_factory=dict)
    tool_format: str = "auto"
    log_level: LogLevel = "info"
    log_format: LogFormat = "plain"
    simulated_workers: Positive = 1
    cache_salt_key: str = msgspec.field(default_factory=lambda: secrets.token_hex(32))


_JSON = {"engine_args"}
_SECRET = {"redis_url", "cache_salt_key"}  # an address may hold a password


def variable(field: str) -> str:
    """The environment variable of a field."""
    return f"OPSITE_{field.upper()}"


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Parse the environment; an empty variable counts as unset. Raises `BadSetting`, which names the variable."""
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(Settings):
        name = variable(field.name)
        raw = environment.get(name, "")
        if raw == "":
            if field.name == "worker_id":
                values[field.name] = str(uuid.uuid4())
            elif field.required:
                raise BadSetting(f"{name} is not set: {_MEANING[field.name]}")
            continue
        try:
            if field.name in _JSON:
                values[field.name] = msgspec.json.decode(raw, type=field.type)
            else:
                values[field.name] = msgspec.convert(raw, field.type, strict=False)
        except msgspec.DecodeError as error:
            shown = "wrong" if field.name in _SECRET else _shown(raw)
            raise BadSetting(f"{name} is {shown}: {error}") from None
    settings = Settings(**values)
    try:
        keys.prefix(settings.pool)
    except keys.BadPoolName as error:
        raise BadSetting(f"{variable('pool')}: {error}") from None
    if settings.tool_format not in ("auto", *FORMATS):
        raise BadSetting(
            f"{variable('tool_format')} is {_shown(settings.tool_format)}: name one of auto, {', '.join(FORMATS)}"
        )
    if settings.simulated_workers > 1 and settings.engine != "simulated":
        raise BadSetting(
            f"{variable('simulated_workers')} is only for OPSITE_ENGINE=simulated, not {settings.engine!r}"
        )
    return settings


def per_worker(settings: Settings) -> list[Settings]:
    """The settings of each worker in this process; several simulated ones get numbered ids."""
    if settings.simulated_workers == 1:
        return [settings]
    return [
        msgspec.structs.replace(settings, worker_id=f"{settings.worker_id}-{number}", simulated_workers=1)
        for number in range(1, settings.simulated_workers + 1)
    ]


def read_engine_args(arguments: Mapping[str, Any], kind: type[T]) -> T:
    """Engine arguments as the engine's own struct. Raises `BadSetting`, which lists what the engine knows."""
    try:
        return msgspec.convert(dict(arguments), kind)
    except msgspec.ValidationError as error:
        known = ", ".join(field.name for field in msgspec.structs.fields(kind))
        raise BadSetting(f"{variable('engine_args')}: {error} (this engine knows: {known})") from None


_MEANING = {
    "redis_url": "give the queue's address, such as redis://127.0.0.1:6379/0 or unix:///run/redis.sock",
    "pool": "give the slug of the pool whose turns this worker claims",
    "engine": "name an engine: embedding, scripted, simulated, transformers or vllm",
}


def _shown(raw: str) -> str:
    return repr(raw if len(raw) <= 60 else raw[:57] + "...")
