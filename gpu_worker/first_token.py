"""The last phase of a start: the engine makes a token, by the way that all turns go, before anybody is promised one.

What comes up only then (kernels that are compiled at first use, a tokenizer that does not fit, memory that is not there) is found
in the start, and is nobody's turn.
"""

from __future__ import annotations

import msgspec

from gpu_worker.engines import Engine, EngineRequest
from gpu_worker.failures import EngineCannotStart
from taskqueue.messages import SamplingParams, TurnBody

REQUEST = EngineRequest(
    id="first-token",
    turn="first-token",
    tenant="",
    body=TurnBody(prompt="Hello", params=SamplingParams(max_tokens=1, temperature=0, ignore_eos=True)),
)


async def make_first_token(engine: Engine, *, embeds: bool = False) -> None:
    """Wait for one token. Raises `EngineCannotStart` where the engine refuses, `EngineDied` where it dies of it.

    One that `embeds` makes a vector instead, which counts as a token.
    """
    engine.submit([msgspec.structs.replace(REQUEST, body=TurnBody(embed=("Hello",))) if embeds else REQUEST])
    tokens = 0
    while True:
        for output in await engine.collect():
            tokens += len(output.token_ids)
            if output.error is not None:
                raise EngineCannotStart(f"the engine is loaded, but makes no token: {output.error.message}")
            if output.ending is not None:
                if not tokens:
                    raise EngineCannotStart("the engine is loaded, but its first answer is empty")
                return
