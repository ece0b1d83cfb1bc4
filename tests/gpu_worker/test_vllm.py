"""The `vllm` engine as a real worker process, on the CPU, with the demo model."""

from __future__ import annotations

import json
import signal
import subprocess
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from gpu_worker.output_check import fault
from taskqueue import keys
from taskqueue.async_client import AsyncQueue
from taskqueue.entries import unpack_tokens
from taskqueue.messages import (
    INVALID_OUTPUT,
    ChatMessage,
    ContextRule,
    Delta,
    OutputForm,
    Record,
    SamplingParams,
    Submission,
    TurnBody,
)
from tests.conftest import vllm_python
from tests.gpu_worker.conftest import WorkerProcess, outcomes, seconds, streamed_text, submission, told_of, until
from tests.gpu_worker.test_fitting import LONG, body
from tests.gpu_worker.test_guided import FORMS, PERSON, in_form
from tests.gpu_worker.tools import WEATHER

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]

MODEL = Path(__file__).resolve().parents[2] / "models" / "opsite-verse"
ARGS = {"dtype": "float32", "max_model_len": 1024, "enforce_eager": True}
PROMPT = "KING RICHARD III:\nNow is the "


def start(redis_url: str, pool: str, folder: Path, worker_id: str, **settings: Any) -> WorkerProcess:
    values = {
        "redis_url": redis_url,
        "pool": pool,
        "worker_id": worker_id,
        "engine": "vllm",
        "model": MODEL,
        "slots": 32,
        "lease_s": 5,
        "engine_args": json.dumps(ARGS),
    }
    environment = {f"OPSITE_{name.upper()}": str(value) for name, value in (values | settings).items()}
    environment |= {"VLLM_CPU_KVCACHE_SPACE": "1"}
    return WorkerProcess(environment, folder / f"{worker_id}.log", python=str(vllm_python()))


@pytest.fixture(scope="module")
def vllm_pool() -> str:
    return f"pool-{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="module")
def worker(redis_url: str, vllm_pool: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    """One vLLM for all tests of this file: its start takes up to a minute."""
    process = start(redis_url, vllm_pool, tmp_path_factory.mktemp("vllm"), "vllm-1")
    yield process
    process.end()


@pytest.fixture
async def queue(redis_url: str, vllm_pool: str, worker: WorkerProcess) -> AsyncIterator[AsyncQueue]:
    queue = AsyncQueue(redis_url, vllm_pool)

    async def ready() -> bool:
        assert worker.process.poll() is None, worker.stderr
        return [one.phase for one in (await queue.signals()).workers] == ["ready"]

    await until(ready, bound_s=600)
    yield queue
    await queue.aclose()


async def run(queue: AsyncQueue, submissions: list[Submission]) -> dict[str, Record]:
    await queue.enqueue(submissions)
    return await outcomes(queue, len(submissions))


async def test_it_streams_and_counts(queue: AsyncQueue) -> None:
    one = submission(1, prompt=PROMPT, temperature=0, max_tokens=300, ignore_eos=True)
    record = (await run(queue, [one]))[one.turn]
    assert (record.state, record.usage.completion_tokens) == ("succeeded", 300)
    assert record.text
    assert await streamed_text(queue, one.task) == record.text
    assert len(await queue.read_log(one.task)) > 6  # a busy machine puts many steps into one event


async def test_it_applies_the_chat_template(queue: AsyncQueue) -> None:
    messages = (ChatMessage("system", "Speak in verse."), ChatMessage("user", "Tell of the sea."))
    body = TurnBody(messages=messages, params=SamplingParams(temperature=0, max_tokens=30))
    record = (await run(queue, [Submission(turn="chat", task="chat", tenant="acme", body=body)]))["chat"]
    assert (record.state, record.error) == ("succeeded", None)


async def test_stop_strings_end_the_text(queue: AsyncQueue) -> None:
    free = (await run(queue, [submission(2, prompt=PROMPT, temperature=0, max_tokens=40)]))["turn-2"].text
    assert free
    stop = free[15:19]
    record = (await run(queue, [submission(3, prompt=PROMPT, temperature=0, max_tokens=40, stop=(stop,))]))["turn-3"]
    assert (record.text, record.finish_reason) == (free[: free.index(stop)], "stop")


async def test_a_prompt_beyond_the_context_is_refused(queue: AsyncQueue) -> None:
    record = (await run(queue, [submission(4, prompt="word " * 3000)]))["turn-4"]
    assert record.state == "failed"
    assert record.error is not None
    assert record.error.code == "context_length_exceeded"


async def test_it_trims_and_tells_what_it_counted(queue: AsyncQueue) -> None:
    """The prompt is that of the messages that are left, sent alone."""
    asked = body(ContextRule(strategy="trim", max_tokens=300), temperature=0, max_tokens=10)
    trimmed = Submission(turn="trimmed", task="trimmed", tenant="acme", body=asked)
    record = (await run(queue, [trimmed]))["trimmed"]
    assert (record.state, record.error) == ("succeeded", None)
    assert record.context is not None
    assert (record.context.limit, record.context.prompt_tokens) == (300, record.usage.prompt_tokens)
    assert 200 < record.context.prompt_tokens <= 290
    events = await queue.read_log("trimmed")
    told = [json.loads(event.data) for event in events if event.kind == "context"]
    assert told == [msgspec.to_builtins(record.context)]
    sent = body(None, (LONG[0], *LONG[1 + record.context.messages_dropped :]), temperature=0, max_tokens=10)
    alone = (await run(queue, [Submission(turn="alone", task="alone", tenant="acme", body=sent)]))["alone"]
    assert (alone.text, alone.usage.prompt_tokens, alone.context) == (record.text, record.usage.prompt_tokens, None)


async def test_a_cancelled_turn_leaves_the_engine(queue: AsyncQueue) -> None:
    one = submission(5, prompt=PROMPT, max_tokens=900, ignore_eos=True)
    await queue.enqueue([one])

    async def has_text() -> bool:
        return len(await queue.read_log(one.task)) > 3

    await until(has_text)
    await queue.cancel([one.turn])
    assert (await outcomes(queue, 1))[one.turn].state == "cancelled"


async def test_it_keeps_to_a_form(queue: AsyncQueue) -> None:
    """All forms at once, with one that is cut, and one that is not guided."""
    asked = {700 + number: form for number, form in enumerate(FORMS.values())}
    submissions = [in_form(submission(number, prompt=PROMPT, max_tokens=200), form) for number, form in asked.items()]
    cut, free = (
        submission(798, prompt=PROMPT, max_tokens=3),
        submission(799, prompt=PROMPT, temperature=0, max_tokens=20),
    )
    ended = await run(queue, [*submissions, in_form(cut, PERSON), free])
    for number, form in asked.items():
        record = ended[f"turn-{number}"]
        assert (record.state, record.finish_reason, record.error) == ("succeeded", "stop", None)
        assert fault(record.text or "", form) == ""
        assert await streamed_text(queue, record.task) == record.text
    error = ended["turn-798"].error
    assert error is not None
    assert (ended["turn-798"].finish_reason, error.code) == ("length", INVALID_OUTPUT)
    assert ended["turn-799"].state == "succeeded"


async def test_it_calls_what_it_must(queue: AsyncQueue) -> None:
    """And one that may answer in a form instead."""
    must = submission(781, temperature=0.8, seed=1, max_tokens=200)
    body = msgspec.structs.replace(must.body, tools=(WEATHER,), tool_choice="required", parallel_tool_calls=False)
    may = msgspec.structs.replace(body, tool_choice="auto", output=PERSON)
    others = submission(782)
    ended = await run(queue, [msgspec.structs.replace(must, body=body), msgspec.structs.replace(others, body=may)])
    record, other = ended[must.turn], ended[others.turn]
    assert (record.state, record.finish_reason, record.text) == ("succeeded", "tool_calls", "")
    (call,) = record.tool_calls
    assert call.name == "weather"
    assert (other.state, other.error) == ("succeeded", None)
    assert other.tool_calls or fault(other.text or "", PERSON) == ""


async def test_it_tells_how_likely_tokens_were(queue: AsyncQueue) -> None:
    one = submission(790, prompt=PROMPT, temperature=0, max_tokens=20, ignore_eos=True, logprobs=2)
    record = (await run(queue, [one]))[one.turn]
    told = await told_of(queue, one.task)
    assert b"".join(bytes(each.bytes) for each in told).decode() == record.text
    assert all(len(each.top_logprobs) == 2 for each in told)
    assert all(each.logprob == each.top_logprobs[0].logprob <= 0 for each in told)  # greedy: the likeliest one


@pytest.mark.parametrize("kept", [0.5, 1.0])
async def test_it_goes_on_in_the_form_behind_what_was_streamed(
    queue: AsyncQueue, worker: WorkerProcess, kept: float
) -> None:
    """Another worker took the turn, said so much of it, and gave it back: vLLM's grammar must know what was said."""
    line = {"type": "string", "minLength": 20, "maxLength": 40}
    form = OutputForm("json_schema", {"type": "array", "items": line, "minItems": 5, "maxItems": 5})
    numbers = (round(810 + 10 * kept), round(830 + 10 * kept))
    whole, one = (in_form(submission(number, prompt=PROMPT, temperature=0, max_tokens=300), form) for number in numbers)
    undisturbed = (await run(queue, [whole]))[whole.turn]
    assert (undisturbed.state, fault(undisturbed.text or "", form)) == ("succeeded", "")
    entries = await queue._link.ask("XRANGE", keys.log(queue.pool, whole.task), "-", "+")
    fields = [dict(zip(entry[1][::2], entry[1][1::2], strict=True)) for entry in entries]
    said = [(json.loads(one[b"d"]), unpack_tokens(one[b"t"])) for one in fields if one[b"k"] == b"text"]
    assert len(said) > 6

    worker.signal(signal.SIGSTOP)
    try:
        await queue.enqueue([one])
        (turn,) = await queue.claim("another", 1, lease_s=60)
        for number, (text, ids) in enumerate(said[: max(1, round(kept * len(said)))], start=1):
            delta = Delta(turn=turn.turn, attempt=turn.attempt, seq=turn.seq + number, text=text, token_ids=ids)
            assert await queue.emit("another", [delta]) == []
        await queue.release("another", [one.turn])
    finally:
        worker.signal(signal.SIGCONT)
    record = (await outcomes(queue, 1))[one.turn]
    assert (record.state, record.finish_reason, record.attempt) == ("succeeded", "stop", 2)
    assert (record.text, record.usage) == (undisturbed.text, undisturbed.usage)
    assert await streamed_text(queue, one.task) == undisturbed.text


async def test_it_tells_the_phases_of_its_start(queue: AsyncQueue) -> None:
    """As vLLM's engine core logs them: another version may word it otherwise, and then `engine` stands here."""

    async def ready() -> bool:
        return [one.phase for one in (await queue.signals()).workers] == ["ready"]

    await until(ready, bound_s=600)
    (status,) = (await queue.signals()).workers
    assert list(status.start_phases) == ["interpreter", "import", "load", "compile", "first_token"]
    assert status.start_phases["import"] > status.start_phases["load"] > 0
    print(status.start_phases)


async def test_thirty_two_at_once_are_batched(queue: AsyncQueue) -> None:
    async def rate(first: int, count: int) -> float:
        submissions = [
            submission(number, prompt=PROMPT, max_tokens=64, ignore_eos=True) for number in range(first, first + count)
        ]
        started = time.monotonic()
        ended = await run(queue, submissions)
        return sum(record.usage.completion_tokens for record in ended.values()) / seconds(started)

    rates = [(await rate(100 + number, 1), await rate(200 + 32 * number, 32)) for number in range(3)]
    alone, together = map(max, zip(*rates, strict=True))
    print(f"{together:.0f} tokens/s at 32 in parallel, {alone:.0f} alone")
    assert together > 4 * alone


async def test_it_hands_over_in_mid_sentence_and_leaves_nothing_behind(
    redis_url: str, vllm_pool: str, queue: AsyncQueue, worker: WorkerProcess, tmp_path: Path
) -> None:
    """The last test of this file: it ends the worker. One turn at a time, in float32: the text stays the same."""
    whole = (await run(queue, [submission(6, prompt=PROMPT, temperature=0, max_tokens=900, ignore_eos=True)]))["turn-6"]
    one = submission(7, prompt=PROMPT, temperature=0, max_tokens=900, ignore_eos=True)
    await queue.enqueue([one])

    async def has_text() -> bool:
        return len(await queue.read_log(one.task)) > 6

    await until(has_text)
    children = psutil.Process(worker.process.pid).children(recursive=True)
    started = time.monotonic()
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    assert seconds(started) < 4
    await until(lambda: not any(alive(child) for child in children))
    assert (await queue.signals()).waiting == 1
    second = start(redis_url, vllm_pool, tmp_path, "vllm-2")
    try:
        record = (await outcomes(queue, 1, bound_s=600))[one.turn]
        await check_death_of_the_core(queue, second)
    finally:
        second.end()
    assert (record.text, record.attempt) == (whole.text, 2)


async def check_death_of_the_core(queue: AsyncQueue, worker: WorkerProcess) -> None:
    """The worker is lost with its turn at once, and ends, so that another can be started."""
    one = submission(8, prompt=PROMPT, max_tokens=900, ignore_eos=True)
    await queue.enqueue([one])

    async def has_text() -> bool:
        return len(await queue.read_log(one.task)) > 3

    await until(has_text)
    for child in psutil.Process(worker.process.pid).children():
        if "resource_tracker" not in " ".join(child.cmdline()):
            child.kill()
    assert worker.wait() == 70
    assert worker.stderr.splitlines()[-1].startswith("opsite-worker: error: vLLM's engine core died")
    assert await queue.reap() == 1
    assert (await queue.signals()).waiting == 1


def alive(child: psutil.Process) -> bool:
    return child.is_running() and child.status() != psutil.STATUS_ZOMBIE


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"speed": 1}, ["OPSITE_ENGINE_ARGS", "speed"]),
        ({"max_model_len": 10_000_000}, ["max_model_len"]),
    ],
)
def test_what_vllm_cannot_start_is_told_in_one_line(
    redis_url: str, pool: str, tmp_path: Path, args: dict[str, object], words: list[str]
) -> None:
    process = start(redis_url, pool, tmp_path, "bad", engine_args=json.dumps(ARGS | args))
    try:
        assert process.wait(300) == 78
    except subprocess.TimeoutExpired:
        process.end()
        raise
    (line,) = process.stderr.splitlines()
    assert all(word in line for word in words)
