"""Functions of the client's own by the official OpenAI client: in responses, made to be called, and beside a form of output."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from asgiref.sync import sync_to_async
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from orchestrator.models import Pool
from tests.runner.conftest import Stage, agent, call
from tests.scene import Scene

pytestmark = pytest.mark.django_db(transaction=True)

CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER: Any = {"type": "function", "name": "weather", "parameters": CITY, "strict": True}
NOW: Any = {"type": "function", "name": "now", "description": "The time."}
TOOLS: Any = [WEATHER, NOW]
CHAT_TOOLS: Any = [
    {"type": "function", "function": {name: value for name, value in tool.items() if name != "type"}} for tool in TOOLS
]
SCRIPTS = {
    "Two": ["See. " + call("weather", city="Oslo") + "\n" + call("now"), "It is {last}."],
    "One": [call("weather", city="Oslo")],
    "Bad": [call("weather", town="Oslo")],
    "Words": ["Nothing to call."],
    "Mood": ['{"mood":"glad"}'],
    "Sum": [call("calculator", expression="6*7"), '{"mood":"glad"}'],
}


class Mood(BaseModel):
    """What the script makes of it."""

    mood: str


@pytest.fixture
def scripted(live_scene: Scene) -> None:
    """The pool runs scripts, before a web process has looked at it."""
    Pool.objects.filter(pk=live_scene.pool.pk).update(engine=Pool.Engine.SCRIPTED)


@pytest.fixture
def played(scripted: None, stage: Stage) -> Stage:
    stage.worker("Hello.", **SCRIPTS)
    return stage


def where(stage: Stage) -> Any:
    return {"base_url": f"{stage.web.url}/v1", "api_key": stage.scene.ann.key, "max_retries": 0}


async def test_functions_by_the_official_client(played: Stage) -> None:
    """One stack for all of it."""
    form = {"kind": "json_schema", "json_schema": Mood.model_json_schema()}
    await sync_to_async(agent)(played.scene, {"builtin": "calculator"}, output=form)
    played.effects()
    with OpenAI(**where(played)) as client:
        await sync_to_async(_responses, thread_sensitive=False)(client)
    async with AsyncOpenAI(**where(played)) as client:
        await _streamed(client)
        await _made_to_call(client)
        await _with_a_form(client)
        await _refused(client)


def _responses(client: OpenAI) -> None:
    first = client.responses.create(model="poet", input="Two", tools=TOOLS, max_output_tokens=300)
    assert [item.type for item in first.output] == ["message", "function_call", "function_call"]
    assert (first.status, first.output_text, first.parallel_tool_calls) == ("completed", "See. ", True)
    assert [tool.to_dict() for tool in first.tools] == [
        {"description": None, **WEATHER},
        {**NOW, "parameters": None, "strict": False},
    ]
    calls: Any = first.output[1:]
    assert [(one.name, one.arguments, one.status) for one in calls] == [
        ("weather", '{"city":"Oslo"}', "completed"),
        ("now", "{}", "completed"),
    ]
    assert client.responses.retrieve(first.id).model_copy(update={"completed_at": None}) == first
    brought: Any = [
        {"type": "function_call_output", "call_id": one.call_id, "output": f"{number} degrees"}
        for number, one in enumerate(calls)
    ]
    second = client.responses.create(
        model="poet", input=brought, previous_response_id=first.id, tools=TOOLS, max_output_tokens=300
    )
    assert (second.output_text, second.status) == ("It is 1 degrees.", "completed")
    given_back = client.responses.create(
        model="poet",
        input=[{"role": "user", "content": "Two"}, *first.output, *brought],
        max_output_tokens=300,  # type: ignore[list-item]
    )
    assert given_back.output_text == second.output_text
    items = client.responses.input_items.list(given_back.id, order="asc").data
    kinds = ["message", "message", "function_call", "function_call", "function_call_output", "function_call_output"]
    assert [item.type for item in items] == kinds
    with pytest.raises(openai.BadRequestError, match="has no function_call_output") as refused:
        client.responses.create(model="poet", input=brought[:1], previous_response_id=first.id)
    assert refused.value.param == "input"
    parsed = client.responses.parse(model="poet", input="Mood", text_format=Mood, max_output_tokens=300)
    assert parsed.output_parsed == Mood(mood="glad")
    told = client.responses.retrieve(parsed.id).text
    assert told is not None
    assert told.format is not None
    assert told.format.type == "json_schema"


async def _streamed(client: AsyncOpenAI) -> None:
    asked: Any = {"model": "poet", "input": "Two", "tools": TOOLS, "max_output_tokens": 300}
    events = [event async for event in await client.responses.create(**asked, stream=True)]
    text = ["response.output_item.added", "response.content_part.added"]
    ended = ["response.output_text.done", "response.content_part.done", "response.output_item.done"]
    called = [
        "response.output_item.added", "response.function_call_arguments.delta", "response.function_call_arguments.done",
        "response.output_item.done",
    ]  # fmt: skip
    kinds = [event.type for event in events if event.type != "response.output_text.delta"]
    assert kinds == [
        "response.created", "response.in_progress", *text, *ended, *called, *called, "response.completed"
    ]  # fmt: skip
    assert [event.sequence_number for event in events] == list(range(len(events)))
    last: Any = events[-1]
    done = [event.item for event in events if event.type == "response.output_item.done"]
    assert last.response.output == done
    assert [event.output_index for event in events if event.type == "response.output_item.done"] == [0, 1, 2]
    behind = await client.responses.retrieve(last.response.id, stream=True, starting_after=len(events) - 6)
    assert [event async for event in behind] == events[-5:]
    async with client.responses.stream(**asked) as stream:
        async for _ in stream:
            pass
        final = await stream.get_final_response()
    assert [item.type for item in final.output] == ["message", "function_call", "function_call"]
    bare = [event.type async for event in await client.responses.create(**{**asked, "input": "One"}, stream=True)]
    assert bare == ["response.created", "response.in_progress", *called, "response.completed"]


async def _made_to_call(client: AsyncOpenAI) -> None:
    named = {"type": "function", "function": {"name": "weather"}}
    some = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [named]}}
    for choice in ("required", named, some):
        answer = await _chat(client, "One", tool_choice=choice)
        assert answer.choices[0].finish_reason == "tool_calls"
        for said, why in (("Words", "it calls no tool"), ("Bad", "'city' is a required property")):
            with pytest.raises(openai.UnprocessableEntityError, match=why):
                await _chat(client, said, tool_choice=choice)
    with pytest.raises(openai.UnprocessableEntityError, match="'city' is a required property"):
        await _chat(client, "Bad")  # the function is strict
    with pytest.raises(openai.UnprocessableEntityError, match="it calls 2 tools"):
        await _chat(client, "Two", parallel_tool_calls=False)
    with pytest.raises(openai.UnprocessableEntityError, match="'weather', which is none of now"):
        await _chat(client, "One", tool_choice={"type": "function", "function": {"name": "now"}})
    cut = await _chat(client, "One", tool_choice="required", max_tokens=3)
    assert (cut.choices[0].finish_reason, cut.choices[0].message.tool_calls) == ("length", None)
    response = await client.responses.create(
        model="poet",
        input="One",
        tools=TOOLS,
        tool_choice={"type": "function", "name": "weather"},
        max_output_tokens=300,
    )
    assert response.tool_choice.to_dict() == {"type": "function", "name": "weather"}  # type: ignore[union-attr]
    assert [item.type for item in response.output] == ["function_call"]


async def _with_a_form(client: AsyncOpenAI) -> None:
    """Calls, or the form; and an agent's own tools, whose last turn has it."""
    form = {"type": "json_schema", "json_schema": {"name": "mood", "schema": Mood.model_json_schema()}}
    assert (await _chat(client, "Mood", response_format=form)).choices[0].message.content == '{"mood":"glad"}'
    called = await _chat(client, "One", response_format=form)
    assert [one.function.name for one in called.choices[0].message.tool_calls or ()] == ["weather"]
    with pytest.raises(openai.UnprocessableEntityError, match="it is no JSON"):
        await _chat(client, "Words", response_format=form)
    own = await client.chat.completions.create(
        model="actor", messages=[{"role": "user", "content": "Sum"}], tool_choice="required"
    )
    assert own.choices[0].message.content == '{"mood":"glad"}'


async def _refused(client: AsyncOpenAI) -> None:
    for more, param in (
        ({"tools": [], "tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": "later"}}}, "tool_choice"),
        ({"tool_choice": {"type": "custom", "custom": {"name": "now"}}}, "tool_choice.type"),
        ({"tool_choice": "required", "extra_body": {"ignore_eos": True}}, "ignore_eos"),
    ):
        with pytest.raises(openai.BadRequestError) as refused:
            await _chat(client, "One", **more)
        assert refused.value.param == param


async def _chat(client: AsyncOpenAI, said: str, **more: Any) -> Any:
    asked = {"model": "poet", "messages": [{"role": "user", "content": said}], "tools": CHAT_TOOLS, "max_tokens": 300}
    return await client.chat.completions.create(**{**asked, **more})
