"""Tools by the official OpenAI client: those that the client calls itself, and those that an agent has."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import sync_to_async
from openai import AsyncOpenAI, BadRequestError, OpenAI

from tests.runner.conftest import Stage, agent, call

pytestmark = pytest.mark.django_db(transaction=True)

TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
    }
]


def asked(wanted: Any) -> list[tuple[str, str]]:
    return [(one.function.name, one.function.arguments) for one in wanted or ()]


async def test_tools_by_the_official_client(stage: Stage) -> None:
    await sync_to_async(agent)(stage.scene, {"builtin": "calculator"})
    stage.effects()
    stage.worker(
        "See. " + call("weather", city="Oslo") + call("weather", city="Bergen"),
        "It is {last}.",
        Sum=["Let me see. " + call("calculator", expression="6*7"), "It is {last}."],
    )
    where = {"base_url": f"{stage.web.url}/v1", "api_key": stage.scene.ann.key, "max_retries": 0}
    with OpenAI(**where) as client:  # type: ignore[arg-type]
        await sync_to_async(_whole, thread_sensitive=False)(client)
    async with AsyncOpenAI(**where) as client:  # type: ignore[arg-type]
        await _streamed(client)
        with pytest.raises(BadRequestError, match="calls tools of its own") as refused:
            await client.chat.completions.create(
                model="actor", messages=[{"role": "user", "content": "Hi"}], tools=TOOLS
            )
        assert refused.value.param == "tools"


def _whole(client: OpenAI) -> None:
    messages: list[Any] = [{"role": "user", "content": "Weather?"}]
    first = client.chat.completions.create(model="poet", messages=messages, tools=TOOLS, max_tokens=300)
    choice = first.choices[0]
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", "See. ")
    assert asked(choice.message.tool_calls) == [("weather", '{"city":"Oslo"}'), ("weather", '{"city":"Bergen"}')]
    messages.append(choice.message)
    for number, one in enumerate(choice.message.tool_calls or ()):
        messages.append({"role": "tool", "tool_call_id": one.id, "content": f"{number} degrees"})
    second = client.chat.completions.create(model="poet", messages=messages, tools=TOOLS, max_tokens=300)
    assert (second.choices[0].finish_reason, second.choices[0].message.content) == ("stop", "It is 1 degrees.")
    none = client.chat.completions.create(
        model="poet", messages=messages[:1], tools=TOOLS, tool_choice="none", max_tokens=300
    )
    assert (none.choices[0].finish_reason, none.choices[0].message.tool_calls) == ("stop", None)
    own = client.chat.completions.create(model="actor", messages=[{"role": "user", "content": "Sum"}])
    assert (own.choices[0].finish_reason, own.choices[0].message.content) == ("stop", "It is 42.")


async def _streamed(client: AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="poet", messages=[{"role": "user", "content": "Weather?"}], tools=TOOLS, max_tokens=300, stream=True
    )
    text, found, reasons = "", [], []
    async for chunk in stream:
        delta = chunk.choices[0].delta
        text += delta.content or ""
        found += [(one.index, one.function.name) for one in delta.tool_calls or () if one.function]
        reasons.append(chunk.choices[0].finish_reason)
    assert (text, found, reasons[-1]) == ("See. ", [(0, "weather"), (1, "weather")], "tool_calls")
    stream = await client.chat.completions.create(
        model="actor", messages=[{"role": "user", "content": "Sum"}], stream=True
    )
    assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == "Let me see. It is 42."
