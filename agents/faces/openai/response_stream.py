"""A response's events as a stream, from the call that made it, or from any process to which its reader comes back."""

from __future__ import annotations

from collections.abc import AsyncIterator

from agents.faces import leaving
from agents.faces.context import Context
from agents.faces.openai.following import followed, kept
from agents.faces.openai.response_events import Telling
from agents.faces.openai.response_form import Asked
from agents.faces.submitted import Submitted
from agents.problems import Problem, stream_lost

KEEP_ALIVE_S = 15.0


async def told(context: Context, submitted: Submitted, asked: Asked, *, after: int = -1) -> AsyncIterator[bytes]:
    """The events behind the number `after`, to the last."""
    stream = followed(submitted)
    telling = Telling(asked, after=after)
    try:
        if begun := telling.begin():
            yield begun
        if events := kept(submitted):
            yield telling.take_kept(events)
            return
        while not stream.ended:
            events = await stream.batch(timeout_s=KEEP_ALIVE_S)
            if said := telling.take(events):
                yield said
            elif not events and not stream.ended:
                yield b": keep-alive\n\n"
        if stream.lost:
            raise stream_lost()
    except Problem as problem:
        yield telling.broken(problem)
    finally:
        try:
            if stream.abandoned:
                await leaving.end(context, [submitted])
        finally:
            await stream.close()
