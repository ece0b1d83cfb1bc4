"""What workers are made from, before they are needed: tables, and who needs what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.backoff import Backoff
from orchestrator.models import Pool
from orchestrator.needs import needed
from orchestrator.plan import Plan, Start, plan, starts_due
from orchestrator.runtimes.pulling import MIB, PullProgress
from orchestrator.stock.items import Item, Status, awaited, progress, shown, size
from orchestrator.waves import Supply, plan_wave

ROOT = Path(__file__).resolve().parents[2]
IMAGE, WEIGHTS = Item("image", "opsite-worker:1"), Item("weights", "Qwen/Qwen3-8B")
GIB = 1 << 30


def layer(name: str, status: str, current: int = 0, total: int = 0) -> dict[str, Any]:
    return {"id": name, "status": status, "progressDetail": {"current": current, "total": total} if total else {}}


def test_the_layers_of_an_image_add_up_and_those_not_yet_known_count() -> None:
    seen = PullProgress()
    assert not seen.hear({"status": "Pulling from library/x", "id": "latest"})
    assert [seen.hear(layer(name, "Pulling fs layer")) for name in "abc"] == [True] * 3
    assert (seen.done, seen.total) == (0, 0)
    assert seen.hear(layer("a", "Downloading", 5 * MIB, 10 * MIB))
    assert (seen.done, seen.total) == (5 * MIB, 30 * MIB)
    assert seen.hear(layer("b", "Downloading", 1 * MIB, 50 * MIB))
    assert (seen.done, seen.total) == (6 * MIB, 90 * MIB)
    assert seen.hear(layer("a", "Download complete"))
    assert not seen.hear(layer("a", "Extracting", 2 * MIB, 10 * MIB))
    assert seen.hear(layer("c", "Downloading", 1 * MIB, 20 * MIB))
    assert (seen.done, seen.total) == (12 * MIB, 80 * MIB)


def test_a_start_says_now_and_then_how_far_its_pull_is() -> None:
    seen = PullProgress()
    messages = [layer("a", "Downloading", at * MIB, 100 * MIB) for at in range(101)]
    said = [words for message in messages if (words := seen.told(message)) is not None]
    assert said[:2] == ["0% of 100 MiB", "5% of 100 MiB"]
    assert said[-1] == "100% of 100 MiB"
    assert len(said) == 21


@pytest.mark.parametrize(
    ("item", "status", "sentence"),
    [
        (IMAGE, Status("fetching"), "The image opsite-worker:1 is being pulled."),
        (IMAGE, Status("fetching", 43, 100), "The image opsite-worker:1 is being pulled: 43 % of 100 bytes."),
        (
            WEIGHTS,
            Status("fetching", 8 * GIB, 16 * GIB),
            "The weights of Qwen/Qwen3-8B are being fetched: 50 % of 16.0 GiB.",
        ),
        (IMAGE, Status("fetching", 100, 100), "The image opsite-worker:1 is being pulled: 99 % of 100 bytes."),
        (IMAGE, Status("present"), ""),
        (IMAGE, Status(), ""),
    ],
)
def test_progress_in_a_sentence(item: Item, status: Status, sentence: str) -> None:
    assert progress(item, status) == sentence


def test_a_worker_waits_for_what_comes_and_not_for_what_failed() -> None:
    fetching, here, failed = Status("fetching", 1, 2), Status("present"), Status("failed", error="Correct it.")
    assert awaited([]) is None
    assert awaited([(IMAGE, here), (WEIGHTS, failed)]) is None
    assert awaited([(IMAGE, Status())]) == ""  # it waits, but there is nothing to tell yet
    both = awaited([(IMAGE, fetching), (WEIGHTS, fetching)])
    assert both is not None
    assert both.count("50 %") == 2
    assert [shown(IMAGE, status) for status in (here, failed, Status())] == [
        "image opsite-worker:1: present",
        "Correct it.",
        "image opsite-worker:1: not looked at yet",
    ]
    assert [size(3), size(2048), size(3 * MIB)] == ["3 bytes", "2.0 KiB", "3.0 MiB"]


def test_no_worker_starts_before_its_image_is_here() -> None:
    given: dict[str, Any] = {"reason": "r", "now": 100.0, "backoff": Backoff(), "room": 9}
    fleet: dict[str, Any] = {"desired": 2, "workers": [], "grace_s": 9}
    assert plan(**given, **fleet, awaited="It comes.") == Plan((), "It comes.", "stock")
    assert plan(**given, **fleet, awaited="") == Plan((), "", "stock")
    assert plan(**given, **fleet) == Plan((Start("r"), Start("r")))
    assert starts_due(1, starting=False, **given, awaited="It comes.").actions == ()


def pool(**fields: Any) -> Pool:
    defaults = {"slug": "p", "engine": "vllm", "model": "Qwen/Qwen3-8B", "runtime": "process"}
    return Pool(**{**defaults, **fields})


def needs(**fields: Any) -> list[str]:
    return [f"{item.kind} {item.name}" for item in needed(pool(**fields), image="default:1", base_folder=ROOT)]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ["weights Qwen/Qwen3-8B"]),
        ({"runtime": "docker"}, ["image default:1", "weights Qwen/Qwen3-8B"]),
        ({"runtime": "docker", "image": "own:2", "engine": "simulated"}, ["image own:2"]),
        ({"engine_args": {"revision": "v2"}}, ["weights Qwen/Qwen3-8B@v2"]),
        ({"engine": "transformers", "model": "gpt2"}, ["weights gpt2"]),
        ({"model": "models/opsite-verse"}, []),  # a folder
        ({"model": "/srv/models/qwen"}, []),  # one of the engine's host, which is not seen here
        ({"model": ""}, []),
        ({"env": {"HF_HUB_OFFLINE": 1}}, []),
        ({"env": {"HF_HOME": "/srv/hf"}}, []),
        ({"engine_args": {"download_dir": "/srv/hf"}}, []),
        ({"engine_args": ["not", "a", "mapping"], "env": "nor this"}, ["weights Qwen/Qwen3-8B"]),
    ],
)
def test_what_a_pool_needs(monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], expected: list[str]) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    assert needs(**fields) == expected


def test_nothing_is_fetched_where_the_hub_is_not_to_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert needs() == []
    assert needs(env={"HF_HUB_OFFLINE": "0"}) == ["weights Qwen/Qwen3-8B"]


def test_a_token_goes_to_the_hub_and_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    (item,) = needed(pool(env={"HF_TOKEN": "hf_secret", "X": "1"}), image="", base_folder=ROOT)
    assert item.ways == ({"HF_TOKEN": "hf_secret"},)
    assert "secret" not in repr(item)
    assert item == WEIGHTS


def test_a_wave_waits_for_its_image_and_the_current_revision_goes_on() -> None:
    from orchestrator.rollout import Course

    course = Course(current="a", target="b", state="rolling")
    supplies = {"a": Supply(Backoff(), 9), "b": Supply(Backoff(), 9, awaited="It comes.")}
    waits = plan_wave(course, desired=0, reason="r", workers=[], supplies=supplies, now=0.0, grace_s=9)
    assert waits == Plan()
    waits = plan_wave(course, desired=1, reason="r", workers=[], supplies=supplies, now=0.0, grace_s=9)
    assert (waits.actions, waits.note, waits.cause) == ((), "It comes.", "stock")
