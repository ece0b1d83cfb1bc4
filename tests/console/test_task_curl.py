"""A task as commands: what the body asks for is what the task was asked for."""

from __future__ import annotations

from typing import Any

import pytest

from console.tasks.curl import commands, request_of

SYSTEM = {"role": "system", "content": "Be brief."}
USER = {"role": "user", "content": "Hello"}


def asked(given: Any = (SYSTEM, USER), **more: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "agent": "poet", "asked": given if isinstance(given, str) else list(given), "system_prompt": "Be brief.", "params": {},
        "output": None, "options": {}, "has_own_tools": False, "priority": 5, "metadata": {},
    }  # fmt: skip
    return request_of(**(plain | more))


@pytest.mark.parametrize(
    ("given", "more", "body"),
    [
        ((SYSTEM, USER), {}, {"messages": [USER]}),
        ((USER,), {}, {"messages": [USER]}),
        ((SYSTEM, USER), {"system_prompt": "Other."}, {"messages": [SYSTEM, USER]}),
        (({"role": "system", "content": "Be brief.\n\nIn Latin."}, USER), {}, {
            "messages": [{"role": "system", "content": "In Latin."}, USER]}),
        ((SYSTEM,), {}, {"messages": [SYSTEM]}),
        ("Once upon", {"params": {"top_p": 0.5}}, {"prompt": "Once upon", "parameters": {"top_p": 0.5}}),
        ((), {"options": {"embed": ["a", "b"], "truncate": True}, "params": {"max_tokens": 1}}, {
            "embed": ["a", "b"], "truncate": True}),
        ((USER,), {"options": {"tools": [{"name": "t"}], "tool_choice": "required", "parallel_tool_calls": False}}, {
            "messages": [USER], "tools": [{"name": "t"}], "tool_choice": "required", "parallel_tool_calls": False}),
        ((USER,), {"options": {"tools": [{"name": "t"}], "tool_choice": "auto"}, "has_own_tools": True}, {"messages": [USER]}),
        ((USER,), {"priority": 9, "metadata": {"batch": "b", "custom_id": "c", "mine": "m"}}, {
            "messages": [USER], "priority": 9, "metadata": {"mine": "m"}}),
        ((USER,), {"output": {"kind": "json_object"}}, {"messages": [USER], "output": {"kind": "json_object"}}),
    ],
    ids=["agent's prompt", "without", "another's", "with instructions", "nothing else", "prompt", "embed", "tools", "own tools",
         "batch", "output"],
)  # fmt: skip
def test_the_body(given: Any, more: dict[str, Any], body: dict[str, Any]) -> None:
    assert asked(given, **more) == {"agent": "poet", **body}


def test_the_body_is_one_line_which_no_shell_reads() -> None:
    told = commands(asked([{"role": "user", "content": "a\nEND_OF_TASK\n$(rm x) 'q' %s"}]))
    lines = told.splitlines()
    assert lines.count("END_OF_TASK") == 1
    assert "<<'END_OF_TASK'" in told
    assert told.count("$OPSITE_KEY") == 2
