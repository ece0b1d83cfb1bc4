"""Guided decoding in vLLM, for answers that must have a form; and how it goes on behind what earlier attempts have streamed.

vLLM's grammar begins with the first token behind the prompt, and a continued turn has the streamed tokens in its prompt. So they go
along with the request, and a grammar is advanced by them as soon as it is compiled. vLLM has no public way for this: its setting
`scheduler_cls` lets us in, and one method of its `StructuredOutputManager` is wrapped. By the same way come grammars
with special tokens. Where a newer vLLM has it no more, the engine does not start.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from copy import copy
from functools import partial
from typing import Any

from taskqueue.grammar import ANY_OBJECT
from taskqueue.messages import OutputForm

STREAMED, GRAMMAR = "opsite_streamed", "opsite_grammar"
"""The names of the streamed ids, and of a grammar with special tokens in it, among a request's `extra_args`."""

SCHEDULER = f"{__name__}.scheduler"

CONFIG = {"backend": "guidance", "disable_any_whitespace": True}
"""The library by which forms are checked when they come in (taskqueue.grammar), and its options there."""


def structured_config(given: dict[str, Any]) -> Any:
    """The `structured_outputs_config`; `given` are the fields that the pool's engine arguments set."""
    from vllm.config import StructuredOutputsConfig

    return StructuredOutputsConfig(**(CONFIG | given))


def guided(form: OutputForm | None, streamed: Sequence[int]) -> dict[str, Any]:
    """The fields of vLLM's `SamplingParams` that hold an answer to its form."""
    if form is None:
        return {}
    from vllm.sampling_params import StructuredOutputsParams

    if form.kind == "regex":
        params = StructuredOutputsParams(regex=form.regex)
    else:
        schema = ANY_OBJECT if form.kind == "json_object" else form.json_schema or {}
        params = StructuredOutputsParams(json=json.dumps(schema))
    return {"structured_outputs": params, "extra_args": {STREAMED: list(streamed)} if streamed else None}


def guided_by(plain: str, exact: str, streamed: Sequence[int]) -> dict[str, Any]:
    """The same by a grammar. vLLM checks it without special tokens: so it is shown a `plain` one, in which they are text."""
    from vllm.sampling_params import StructuredOutputsParams

    extra: dict[str, Any] = {STREAMED: list(streamed)} if streamed else {}
    if exact != plain:
        extra[GRAMMAR] = exact
    return {"structured_outputs": StructuredOutputsParams(grammar=plain), "extra_args": extra or None}


def scheduler(*, vllm_config: Any, structured_output_manager: Any, **others: Any) -> Any:
    """The scheduler that vLLM would have chosen, with grammars that know what was streamed. Runs in vLLM's engine core."""
    manager = structured_output_manager
    manager._create_grammar = partial(_advanced, manager, manager._create_grammar)
    own = copy(vllm_config.scheduler_config)
    own.scheduler_cls = None
    chosen = own.get_scheduler_cls()
    return chosen(vllm_config=vllm_config, structured_output_manager=manager, **others)


def _advanced(manager: Any, create: Any, request: Any) -> Any:
    """The request's grammar behind the streamed ids. What is raised fails this request alone."""
    extra = request.sampling_params.extra_args or {}
    grammar = _exact(manager, extra[GRAMMAR]) if GRAMMAR in extra else create(request)
    streamed = extra.get(STREAMED)
    if streamed and not grammar.accept_tokens(request.request_id, streamed):
        raise ValueError("what was streamed of the answer already does not have its form")
    return grammar


def _exact(manager: Any, grammar: str) -> Any:
    from vllm.v1.structured_output.backend_types import StructuredOutputOptions

    return manager.backend.compile_grammar(StructuredOutputOptions.GRAMMAR, grammar)
