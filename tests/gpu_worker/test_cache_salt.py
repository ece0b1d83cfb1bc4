"""Prefix caches: one tenant's is another's nowhere, on whichever worker of the pool."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gpu_worker.engines.cache_salt import cache_salt
from gpu_worker.engines.vllm import VllmEngine
from gpu_worker.failures import BadSetting
from gpu_worker.settings import Settings, read_settings
from taskqueue.messages import TurnBody
from tests.gpu_worker.conftest import request

GOOD = {"OPSITE_REDIS_URL": "redis://h", "OPSITE_POOL": "verse", "OPSITE_ENGINE": "vllm", "OPSITE_MODEL": "m"}


def salt(engine: VllmEngine, tenant: str, body: TurnBody | None = None) -> str:
    """What vLLM gets."""
    asked = msgspec.structs.replace(request(1), tenant=tenant)
    if body is not None:
        asked = msgspec.structs.replace(asked, body=body)
    prompt = engine._salted([1, 2, 3], asked)
    assert prompt["prompt_token_ids"] == [1, 2, 3]
    return str(prompt["cache_salt"])


def worker(**change: str) -> VllmEngine:
    return VllmEngine(read_settings({**GOOD, **change}))


def test_tenants_differ_and_workers_of_a_pool_agree() -> None:
    one, other = worker(OPSITE_CACHE_SALT_KEY="k"), worker(OPSITE_CACHE_SALT_KEY="k", OPSITE_WORKER_ID="w-2")
    assert salt(one, "acme") == salt(other, "acme") != salt(one, "bravo")
    assert "acme" not in salt(one, "acme")
    assert salt(one, "acme") != salt(worker(OPSITE_CACHE_SALT_KEY="another pool's"), "acme")


def test_a_worker_without_a_key_makes_up_its_own() -> None:
    one, other = worker(), worker()
    assert salt(one, "acme") != salt(other, "acme")
    assert salt(one, "acme") == salt(one, "acme") != salt(one, "bravo")


def test_no_body_brings_a_salt_of_its_own() -> None:
    """Also not one that a submitter of another version, or another hand, has put into Redis."""
    forged: dict[str, Any] = {"prompt": "x", "cache_salt": "theirs", "params": {}}
    body = msgspec.msgpack.decode(msgspec.msgpack.encode(forged), type=TurnBody)
    one = worker(OPSITE_CACHE_SALT_KEY="k")
    assert salt(one, "acme", body) == cache_salt("k", "acme")


def test_the_key_is_not_shown() -> None:
    with pytest.raises(BadSetting) as mistake:
        read_settings({**GOOD, "OPSITE_CACHE_SALT_KEY": "secret", "OPSITE_SLOTS": "0"})
    assert "secret" not in str(mistake.value)
    assert Settings(redis_url="", pool="", engine="", worker_id="").cache_salt_key
