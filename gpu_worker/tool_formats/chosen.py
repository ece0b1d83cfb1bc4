"""The format of a model's tool calls: as the pool's setting says, or as its chat template tells. Pure."""

from __future__ import annotations

from typing import Any

from gpu_worker.tool_formats.deepseek import DEEPSEEK_V3, DEEPSEEK_V31
from gpu_worker.tool_formats.form import ToolFormat
from gpu_worker.tool_formats.hermes import HERMES
from gpu_worker.tool_formats.llama import LLAMA
from gpu_worker.tool_formats.mistral import MISTRAL, MISTRAL_NAMED, MISTRAL_PLAIN
from gpu_worker.tool_formats.qwen_coder import QWEN_CODER

FORMATS = {
    one.name: one
    for one in (HERMES, LLAMA, MISTRAL, MISTRAL_NAMED, MISTRAL_PLAIN, QWEN_CODER, DEEPSEEK_V3, DEEPSEEK_V31)
}

_SIGNS: tuple[tuple[tuple[str, ...], ToolFormat], ...] = (
    (("<tool_call>", "<function="), QWEN_CODER),
    (("<tool_call>",), HERMES),
    (("<｜tool▁calls▁begin｜>", "```json"), DEEPSEEK_V3),
    (("<｜tool▁calls▁begin｜>",), DEEPSEEK_V31),
    (("[TOOL_CALLS]", "[ARGS]"), MISTRAL_NAMED),
    (("[TOOL_CALLS]",), MISTRAL),
    (("<|start_header_id|>", '"parameters"'), LLAMA),
)
"""Texts that all stand in the chat template of a model of that format; the first that fits counts."""


def detected(template: str) -> ToolFormat:
    """The format that a chat template tells; Hermes' where it is silent, the one that most models are taught."""
    for signs, one in _SIGNS:
        if all(sign in template for sign in signs):
            return one
    return HERMES


def chosen(setting: str, template: Any = "") -> ToolFormat:
    """The format by its name, or for `auto` by the template: its text, or several by their names (of which one has tools)."""
    if setting != "auto":
        return FORMATS[setting]
    if isinstance(template, dict):
        template = template.get("tool_use", template.get("default", ""))
    return detected(template if isinstance(template, str) else "")
