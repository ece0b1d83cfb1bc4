"""What a request asks of the pool's engine beside text: an output form, log probabilities; refused by name where it cannot."""

from __future__ import annotations

import asyncio

from agents.faces.principals import AgentRef
from agents.faces.requests import TaskRequest
from agents.output_forms import checked, require_guiding, restored
from agents.problems import bad_field
from taskqueue.messages import OutputForm, SamplingParams

LOGPROBS_BY = frozenset({"vllm", "transformers"})
"""The engines that tell how likely a token was."""


async def output_form(agent: AgentRef, request: TaskRequest) -> OutputForm | None:
    """The request's output form, or the agent's own. A large schema takes a while to be checked: it is done on a thread."""
    if request.output is None:
        return restored(agent.output_form)
    return await asyncio.to_thread(checked, request.output, field="output")


def check_features(agent: AgentRef, *, sampling: SamplingParams, form: OutputForm | None, must_call: bool) -> None:
    """Refuse what the engine cannot do, and what cannot be together. `must_call`: the answer has to be a call."""
    if form is not None:
        require_guiding(form, engine=agent.engine, pool=agent.pool, field="output")
    if sampling.ignore_eos and (form is not None or must_call):
        raise bad_field(
            "parameters.ignore_eos",
            "an answer with a form, or that is a call, ends where the form is complete",
        )
    if sampling.logprobs is not None and agent.engine not in LOGPROBS_BY:
        gives = f"the pool {agent.pool!r} runs the engine {agent.engine!r}, which gives none"
        raise bad_field("parameters.logprobs", f"{gives}; {' and '.join(sorted(LOGPROBS_BY))} do")
