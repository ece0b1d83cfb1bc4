"""Answers that must call tools, by the `transformers` engine with a model that babbles: what it says is guided to valid calls."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import transformers
from tokenizers import AddedToken

from gpu_worker.call_check import fault_of_calls
from gpu_worker.engines import EngineRequest
from gpu_worker.engines.transformers import TransformersEngine
from gpu_worker.output_check import fault
from gpu_worker.tool_calls import ToolCalls
from gpu_worker.tool_formats.chosen import FORMATS
from taskqueue.messages import ChatMessage, OutputForm, SamplingParams, ToolCall, TurnBody
from tests.gpu_worker.conftest import Ran, run_engine
from tests.gpu_worker.test_transformers import MODEL
from tests.gpu_worker.test_transformers import settings as worker_settings
from tests.gpu_worker.tools import NOW, WEATHER

MOOD = OutputForm("json_schema", {"enum": ["glad", "sad"]})


def asked(number: int, *, streamed: tuple[int, ...] = (), **how: Any) -> EngineRequest:
    params = SamplingParams(max_tokens=how.pop("max_tokens", 160), temperature=1.0, seed=how.pop("seed", number))
    body = TurnBody(messages=(ChatMessage("user", "Weather?"),), params=params, tools=(WEATHER, NOW), **how)
    return EngineRequest(id=f"turn-{number}:1", turn=f"turn-{number}", tenant="ann", body=body, streamed=streamed)


def read(engine: TransformersEngine, request: EngineRequest, text: str) -> tuple[str, list[ToolCall]]:
    calls = ToolCalls(
        request.turn, form=engine.tool_format, tools=request.body.tools, only_first=request.body.output is not None
    )
    return calls.push(text) + calls.flush(), calls.found


@pytest.fixture
async def engine() -> AsyncIterator[TransformersEngine]:
    made = TransformersEngine(worker_settings())
    await made.start()
    yield made
    await made.close()


async def test_a_babbling_model_calls_what_it_must(engine: TransformersEngine) -> None:
    requests = [
        *(asked(number, tool_choice="required", parallel_tool_calls=False) for number in range(3)),
        *(asked(10 + number, tool_choice="required", allowed_tools=("weather",)) for number in range(2)),
        *(asked(20 + number, output=MOOD) for number in range(3)),
        *(asked(30 + number, max_tokens=20) for number in range(2)),
    ]
    ran = await run_engine(engine, requests)
    kinds = set()
    for request in requests:
        text, calls = read(engine, request, ran[request.id].text)
        assert fault_of_calls(request.body, calls) == ""
        if request.body.output and not calls:
            assert fault(text, request.body.output) == ""
        elif request.body.tool_choice == "required":
            assert not text or (request.body.parallel_tool_calls and ran[request.id].last.ending == "length")
            assert {call.name for call in calls} <= set(request.body.allowed_tools or ("weather", "now"))
        kinds.add((request.body.tool_choice, bool(calls)))
    assert {("required", True)} <= kinds


async def test_a_continuation_says_the_rest_of_a_call(engine: TransformersEngine) -> None:
    how: Any = {"tool_choice": "required", "parallel_tool_calls": False, "seed": 3, "allowed_tools": ("weather",)}
    whole = (await run_engine(engine, [asked(0, **how)]))["turn-0:1"]
    cuts = [asked(cut, streamed=tuple(whole.token_ids[:cut]), **how) for cut in range(1, len(whole.token_ids), 5)]
    ran = await run_engine(engine, cuts)
    for cut in cuts:
        assert [*cut.streamed, *ran[cut.id].token_ids] == whole.token_ids


@pytest.mark.parametrize("name", ["mistral"])
async def test_every_format_is_guided_with_its_tags_as_special_tokens(name: str, tmp_path: Path) -> None:
    """As in the vocabularies of the models that have these formats: no text may stand for such a token."""
    model = with_tags(tmp_path / "model", FORMATS[name].markers)
    engine = TransformersEngine(worker_settings(model=model, tool_format=name))
    await engine.start()
    try:
        assert engine.tool_format is FORMATS[name]
        requests = [
            asked(1, tool_choice="required", parallel_tool_calls=False),
            asked(2, tool_choice="required", allowed_tools=("weather",), max_tokens=400),
            asked(3, output=MOOD),
        ]
        ran: dict[str, Ran] = await run_engine(engine, requests)
        for request in requests:
            text, calls = read(engine, request, ran[request.id].text)
            assert fault_of_calls(request.body, calls) == ""
            assert calls or fault(text, MOOD) == ""
            for call in calls:
                assert isinstance(json.loads(call.arguments), dict)
    finally:
        await engine.close()


def with_tags(folder: Path, tags: tuple[str, ...]) -> str:
    """The small model with further tokens, of which it knows nothing."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(MODEL)
    model = transformers.AutoModelForCausalLM.from_pretrained(MODEL)
    tokenizer.add_tokens([AddedToken(tag, special=True, normalized=False) for tag in tags], special_tokens=True)
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)
