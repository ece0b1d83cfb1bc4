"""Settings from the environment: each mistake is one line that names its variable."""

from __future__ import annotations

import pytest

from gpu_worker.engines.registry import make_engine
from gpu_worker.engines.simulated import SimulatedArgs
from gpu_worker.failures import BadSetting, EngineCannotStart
from gpu_worker.settings import per_worker, read_engine_args, read_settings

GOOD = {"OPSITE_REDIS_URL": "redis://127.0.0.1:6379/0", "OPSITE_POOL": "verse", "OPSITE_ENGINE": "simulated"}


def test_defaults() -> None:
    settings = read_settings(GOOD)
    assert (settings.slots, settings.lease_s, settings.engine_args, settings.model) == (8, 5.0, {}, "")
    assert settings.worker_id != read_settings(GOOD).worker_id


def test_everything_set() -> None:
    settings = read_settings(
        {
            **GOOD,
            "OPSITE_WORKER_ID": "w",
            "OPSITE_MODEL": "m",
            "OPSITE_SLOTS": "4",
            "OPSITE_LEASE_S": "1.5",
            "OPSITE_ENGINE_ARGS": '{"step_base_s": 0}',
            "OPSITE_LOG_LEVEL": "debug",
            "OPSITE_SIMULATED_WORKERS": "3",
        }
    )
    assert (settings.slots, settings.lease_s, settings.engine_args) == (4, 1.5, {"step_base_s": 0})
    assert [one.worker_id for one in per_worker(settings)] == ["w-1", "w-2", "w-3"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"OPSITE_REDIS_URL": ""}, ["OPSITE_REDIS_URL is not set", "redis://"]),
        ({"OPSITE_POOL": ""}, ["OPSITE_POOL is not set"]),
        ({"OPSITE_ENGINE": ""}, ["OPSITE_ENGINE is not set", "transformers"]),
        ({"OPSITE_REDIS_URL": "127.0.0.1:6379"}, ["OPSITE_REDIS_URL"]),
        ({"OPSITE_POOL": "No Pool"}, ["OPSITE_POOL", "lower-case"]),
        ({"OPSITE_SLOTS": "0"}, ["OPSITE_SLOTS is '0'", ">= 1"]),
        ({"OPSITE_SLOTS": "many"}, ["OPSITE_SLOTS is 'many'", "int"]),
        ({"OPSITE_LEASE_S": "0.01"}, ["OPSITE_LEASE_S"]),
        ({"OPSITE_ENGINE_ARGS": "{"}, ["OPSITE_ENGINE_ARGS"]),
        ({"OPSITE_ENGINE_ARGS": "[]"}, ["OPSITE_ENGINE_ARGS", "object"]),
        ({"OPSITE_LOG_LEVEL": "loud"}, ["OPSITE_LOG_LEVEL is 'loud'"]),
        ({"OPSITE_ENGINE": "vllm", "OPSITE_SIMULATED_WORKERS": "2"}, ["OPSITE_SIMULATED_WORKERS"]),
    ],
)
def test_mistakes_name_their_variable(change: dict[str, str], words: list[str]) -> None:
    with pytest.raises(BadSetting) as mistake:
        read_settings({**GOOD, **change})
    assert all(word in str(mistake.value) for word in words)
    assert "\n" not in str(mistake.value)


def test_a_password_in_a_wrong_address_is_not_shown() -> None:
    with pytest.raises(BadSetting) as mistake:
        read_settings({**GOOD, "OPSITE_REDIS_URL": "http://user:secret@host"})
    assert "secret" not in str(mistake.value)


def test_unknown_engine_arguments_are_refused_with_the_known_ones() -> None:
    with pytest.raises(BadSetting, match="step_base_s"):
        read_engine_args({"speed": 1}, SimulatedArgs)
    with pytest.raises(BadSetting, match="answer_tokens"):
        read_engine_args({"answer_tokens": 0}, SimulatedArgs)


def test_an_unknown_engine_is_refused_with_the_known_ones() -> None:
    with pytest.raises(EngineCannotStart, match="simulated, transformers, vllm"):
        make_engine(read_settings({**GOOD, "OPSITE_ENGINE": "gpt"}))
