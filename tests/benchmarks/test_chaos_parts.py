"""The instruments of `make chaos`: the relay that cuts off, who is blamed for a stall, and when readiness lies."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from benchmarks.chaos.faults import KINDS, Fault, order
from benchmarks.chaos.health import LIE_AFTER_S, lies
from benchmarks.chaos.relay import Relay
from benchmarks.chaos.report import Result, blamed
from benchmarks.chaos.verdict import Seen, Stall, Told, Violation
from benchmarks.chaos.verses import Verdict


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[Relay]:
    """In front of a server that repeats what it hears."""

    serving: set[asyncio.StreamWriter] = set()

    async def repeat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(writer)
        while data := await reader.read(100):
            writer.write(data)
        writer.close()
        await writer.wait_closed()
        serving.discard(writer)

    server = await asyncio.start_unix_server(repeat, tmp_path / "server.sock")
    relay = Relay(here=tmp_path / "relay.sock", there=tmp_path / "server.sock")
    await relay.start()
    yield relay
    await relay.stop()
    server.close()
    async with asyncio.timeout(10):
        while serving:  # noqa: ASYNC110 - the streams have no event for their end
            await asyncio.sleep(0.01)


async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, word: bytes) -> bytes:
    writer.write(word)
    async with asyncio.timeout(10):
        return await reader.read(100)


async def test_a_relay_passes_on_and_breaks_connections(relay: Relay) -> None:
    reader, writer = await asyncio.open_unix_connection(relay.here)
    assert await say(reader, writer, b"one") == b"one"
    cutting = asyncio.create_task(relay.cut([os.getpid()], for_s=0.2, silent=False))
    async with asyncio.timeout(10):
        assert await reader.read() == b""
    with pytest.raises(OSError):  # noqa: PT012 - connecting succeeds, then it is hung up
        other, broken = await asyncio.open_unix_connection(relay.here)
        broken.write(b"two")
        if await other.read() == b"":
            raise ConnectionResetError
    await cutting
    reader, again = await asyncio.open_unix_connection(relay.here)
    assert await say(reader, again, b"three") == b"three"
    for end in (writer, broken, again):
        end.close()


async def test_a_silent_cut_loses_nothing(relay: Relay) -> None:
    reader, writer = await asyncio.open_unix_connection(relay.here)
    assert await say(reader, writer, b"one") == b"one"
    cutting = asyncio.create_task(relay.cut([os.getpid()], for_s=0.3, silent=True))
    await asyncio.sleep(0)
    hearing = asyncio.create_task(say(reader, writer, b"two"))
    done, _ = await asyncio.wait((hearing,), timeout=0.15)
    assert not done
    await cutting
    assert await hearing == b"two"
    writer.close()


async def test_others_are_not_cut_off(relay: Relay) -> None:
    reader, writer = await asyncio.open_unix_connection(relay.here)
    cutting = asyncio.create_task(relay.cut([1], for_s=0.1, silent=False))
    assert await say(reader, writer, b"one") == b"one"
    await cutting
    writer.close()


def fault(kind: int, begun_at: float, well_at: float) -> Fault:
    return Fault(KINDS[kind], "x", begun_at, over_at=begun_at, well_at=well_at)


def test_a_stall_is_blamed_on_the_fault_that_it_fell_into() -> None:
    faults = [fault(0, 10, 15), fault(4, 20, 25)]
    assert blamed(Stall("a", 10.1, 15.2), faults) is faults[0]
    assert blamed(Stall("a", 14.0, 24.0), faults) is faults[0]
    assert blamed(Stall("a", 19.9, 24.0), faults) is faults[1]
    assert blamed(Stall("a", 17.0, 18.0), faults) is None


@pytest.mark.parametrize(
    ("asked_at", "answered_at", "answer", "lie"),
    [
        (10 + LIE_AFTER_S, 12.5, True, True),
        (10 + LIE_AFTER_S, 12.5, False, False),
        (10 + LIE_AFTER_S, 12.5, None, False),
        (10.5, 12.5, True, False),  # asked before it had to know
        (14.0, 15.5, True, False),  # answered when the server was back
    ],
)
def test_readiness_lies_only_about_what_it_could_know(
    asked_at: float, answered_at: float, answer: bool | None, lie: bool
) -> None:
    assert lies([(asked_at, answered_at, answer)], [(10.0, 15.0)]) == ([(asked_at, answered_at)] if lie else [])


def neighbours(begun_at: float, *, pause_s: float) -> list[Told]:
    """Three streams beside a stall: each paused once for `pause_s`, and one has been paused for longer."""
    pauses = (pause_s, pause_s, 2 * pause_s)
    return [
        Told(str(pause), "pool", seen=[Seen(n, "text", "x", at) for n, at in enumerate((begun_at, begun_at + pause))])
        for pause in pauses
    ]


def test_a_run_is_right_only_without_any_violation() -> None:
    right = Result(
        wanted=1,
        told=[],
        violations=[],
        verses=Verdict(0, [], []),
        stalls=[],
        faults=[fault(0, 1, 2)],
        open_at_the_end=0,
        lies=0,
        seconds=1,
        noise_s=0.5,
    )
    assert right.right
    gone = fault(0, 1, 2)
    gone.ills = ["no orchestrator leads"]
    wrongs: list[dict[str, object]] = [
        {"violations": [Violation("gap", "a", "")]},
        {"open_at_the_end": 1},
        {"lies": 1},
        {"faults": [gone]},
        {"stalls": [Stall("a", 0.9, 7.0)]},
    ]
    in_time = Stall("a", 0.9, 5.9)
    fields = {name: getattr(right, name) for name in Result.__slots__}
    assert Result(**{**fields, "stalls": [in_time]}).right
    late = {**fields, "stalls": [Stall("a", 0.9, 6.9)]}  # by 0.9 s more than was promised
    assert not Result(**{**late, "told": neighbours(0.9, pause_s=0.4)}).right
    assert Result(**{**late, "told": neighbours(0.9, pause_s=0.5)}).right  # the whole machine was late
    assert not Result(**{**fields, "stalls": [Stall("a", 0.9, 9.0)], "told": neighbours(0.9, pause_s=3.0)}).right
    assert not any(Result(**{**fields, **wrong}).right for wrong in wrongs)


def test_the_same_seed_gives_the_same_order() -> None:
    orders = [order(random.Random(seed), quick=False) for seed in (7, 7, 8)]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(KINDS)
    assert len(order(random.Random(7), quick=True)) < len(KINDS)
