"""What `POST /v1/completions` takes, and its prompts and parameters as a task has them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from agents.faces.requests import StreamOptions
from agents.problems import bad_field
from agents.sampling import layered

MAX_TOKENS = 16
"""As OpenAI has it, where neither the request nor the agent nor the pool says otherwise."""
PROMPTS_MAX = 32


class CompletionRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`POST /v1/completions`: what is served. Any other field of OpenAI's API is refused by its name.

    `top_k` and `ignore_eos` are vLLM's extensions, `cancel_on_disconnect` is Opsite's. `user` is the tasks' `split_key`.
    """

    model: str
    prompt: str | list[str | int | list[int]]
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    ignore_eos: bool | None = None
    n: int | None = None
    echo: bool = False
    stream: bool = False
    stream_options: StreamOptions | None = None
    cancel_on_disconnect: bool | UnsetType = UNSET
    user: str | None = None


def prompts(wanted: CompletionRequest) -> list[str]:
    """Each text is a prompt of its own; raises the `Problem` of what is none."""
    given = [wanted.prompt] if isinstance(wanted.prompt, str) else wanted.prompt
    if not 0 < len(given) <= PROMPTS_MAX:
        raise bad_field("prompt", f"give 1 to {PROMPTS_MAX} prompts, not {len(given)}")
    texts = [one for one in given if isinstance(one, str)]
    if len(texts) < len(given):
        raise bad_field("prompt", "token arrays are not supported here; send the text")
    return texts


def parameters(wanted: CompletionRequest, *, below: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The task's parameters; `below` are those that it has without the request."""
    given = {
        "max_tokens": wanted.max_tokens,
        "temperature": wanted.temperature,
        "top_p": wanted.top_p,
        "top_k": wanted.top_k,
        "seed": wanted.seed,
        "stop": [wanted.stop] if isinstance(wanted.stop, str) else wanted.stop,
        "ignore_eos": wanted.ignore_eos,
    }
    if wanted.max_tokens is None and "max_tokens" not in layered(*below):
        given["max_tokens"] = MAX_TOKENS
    return {name: value for name, value in given.items() if value is not None}
