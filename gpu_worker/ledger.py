"""The turns that a worker holds, and what to tell the queue about them: pure bookkeeping between engine and Redis.

Every turn has its event numbers here. A flush takes one `Delta` per turn, however many steps it covers, and one
`Finish` for each turn that ended. A turn leaves the ledger when the engine has let it go: only then is its slot free.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from gpu_worker.call_check import fault_of_calls
from gpu_worker.engines import EngineOutput, EngineRequest
from gpu_worker.output_check import fault
from gpu_worker.tool_calls import ToolCalls
from gpu_worker.tool_formats.form import ToolFormat
from gpu_worker.tool_formats.hermes import HERMES
from taskqueue.messages import (
    INVALID_OUTPUT,
    ClaimedTurn,
    ContextUse,
    Delta,
    Finish,
    OutcomeState,
    Stop,
    StopReason,
    TaskError,
    TokenLogprob,
    ToolCall,
    Usage,
)


@dataclass(slots=True)
class _Held:
    turn: ClaimedTurn
    seq: int
    text: list[str]
    completion_tokens: int
    prompt_tokens: int = 0
    cached_tokens: int = 0
    first_token_ms: int = 0
    stop: StopReason | None = None
    calls: ToolCalls | None = None
    context: ContextUse | None = None


@dataclass(slots=True)
class _Grown:
    """What came of one turn since the last flush."""

    texts: list[str] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)

    def take(self, output: EngineOutput) -> None:
        self.texts.append(output.text)
        self.ids.extend(output.token_ids)
        self.logprobs.extend(output.logprobs)


@dataclass(frozen=True, slots=True)
class Flush:
    """What goes to Redis at once. `ended` are the turns that the finishes end."""

    deltas: list[Delta] = field(default_factory=list)
    finishes: list[Finish] = field(default_factory=list)
    ended: list[tuple[ClaimedTurn, Finish]] = field(default_factory=list)


def engine_id(turn: ClaimedTurn | Delta | Finish) -> str:
    """The id under which the engine knows this attempt at a turn."""
    return f"{turn.turn}:{turn.attempt}"


class Ledger:
    """All turns of one worker, by the id under which the engine knows them."""

    def __init__(self) -> None:
        self._held: dict[str, _Held] = {}
        self._released: list[str] = []
        self.tokens_total = 0
        self.draining = False

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._held

    def admit(self, turn: ClaimedTurn, *, streamed_text: str = "", tool_format: ToolFormat = HERMES) -> EngineRequest:
        """A claimed turn as the engine's request. `streamed_text` is what the model wrote in earlier attempts."""
        request_id, body = engine_id(turn), turn.body
        calls = (
            ToolCalls(turn.turn, form=tool_format, tools=body.tools, only_first=body.output is not None)
            if body.callable_tools
            else None
        )
        shown = calls.push(streamed_text) if calls else streamed_text
        self._held[request_id] = _Held(
            turn=turn,
            seq=turn.seq,
            text=[shown] if shown else [],
            completion_tokens=len(turn.streamed),
            calls=calls,
        )
        return EngineRequest(id=request_id, turn=turn.turn, tenant=turn.tenant, body=turn.body, streamed=turn.streamed)

    def stop(self, stops: Iterable[Stop], *, concerning: Collection[str]) -> list[str]:
        """Note which turns must stop, and why; returns the engine's ids of those that were not told yet.

        `concerning` are the ids that the queue was asked about: a turn that was lost may have been claimed anew since,
        and then only the old attempt is lost.
        """
        told = []
        reasons = {stop.turn: stop.reason for stop in stops}
        for request_id, held in self._held.items() if reasons else ():
            reason = reasons.get(held.turn.turn)
            if reason is None or (reason == "lost" and request_id not in concerning):
                continue
            if held.stop is None:
                told.append(request_id)
            if held.stop != "lost":
                held.stop = reason
        return told

    def book(self, outputs: Sequence[EngineOutput], *, now_ms: int) -> Flush:
        """Take in the engine's outputs; outputs of one turn become one delta. `now_ms` is Unix time."""
        flush = Flush()
        grown: dict[str, _Grown] = {}
        ended: list[EngineOutput] = []
        for output in outputs:
            held = self._held.get(output.id)
            if held is None:
                continue
            if output.prompt_tokens:
                held.prompt_tokens = output.prompt_tokens
                held.cached_tokens = max(held.cached_tokens, min(output.cached_tokens, output.prompt_tokens))
            if output.context:
                flush.deltas.extend(_context(held, output.context))
            if output.token_ids or output.text:
                grown.setdefault(output.id, _Grown()).take(output)
            if output.ending:
                ended.append(output)
        for request_id, more in grown.items():
            held, written = self._held[request_id], "".join(more.texts)
            shown = held.calls.push(written) if held.calls else "" if held.turn.body.summarises else written
            raw = None if shown == written else written
            flush.deltas.extend(_logprobs(held, tuple(more.logprobs)))
            flush.deltas.extend(self._delta(held, shown, tuple(more.ids), now_ms, raw=raw))
        for output in ended:
            held = self._held.pop(output.id)
            told = len(flush.finishes)
            if output.ending != "aborted" and held.calls and (rest := held.calls.flush()):
                flush.deltas.extend(self._delta(held, rest, (), now_ms, raw=""))
            flush.finishes.extend(self._ending(held, output))
            flush.ended.extend((held.turn, finish) for finish in flush.finishes[told:])
        return flush

    def leave(self) -> list[str]:
        """Give up all turns that are still here; returns those to release, the ones that the engine let go included."""
        turns = self._released + [held.turn.turn for held in self._held.values() if held.stop is None]
        self._held.clear()
        self._released = []
        return turns

    def request_ids(self) -> list[str]:
        """The engine's ids of all turns here."""
        return list(self._held)

    def turns(self) -> dict[str, str]:
        """The engine's id of each turn that is still ours, and the turn."""
        return {request_id: held.turn.turn for request_id, held in self._held.items() if held.stop != "lost"}

    def _delta(
        self, held: _Held, text: str, ids: tuple[int, ...], now_ms: int, *, raw: str | None = None
    ) -> list[Delta]:
        self.tokens_total += len(ids)
        if held.stop == "lost":
            return []
        if not held.first_token_ms:
            held.first_token_ms = now_ms
        held.seq += 1
        held.completion_tokens += len(ids)
        if kept := raw if held.turn.body.summarises else text:
            held.text.append(kept)
        return [Delta(turn=held.turn.turn, attempt=held.turn.attempt, seq=held.seq, text=text, token_ids=ids, raw=raw)]

    def _ending(self, held: _Held, output: EngineOutput) -> list[Finish]:
        state: OutcomeState
        error: TaskError | None = None
        reason: str | None = None
        called = tuple(held.calls.found) if held.calls else ()
        if held.stop == "lost":
            return []
        if output.ending == "aborted" and held.stop:
            state = held.stop
        elif output.ending == "aborted" and self.draining:
            self._released.append(held.turn.turn)
            return []
        elif output.ending in ("stop", "length"):
            state, reason = "succeeded", "tool_calls" if called else output.ending
            if error := _not_as_asked(held, called, reason=output.ending) or _no_summary(held):
                state, reason = "failed", output.ending
        else:
            state = "failed"
            error = output.error or TaskError("engine_error", "The engine ended this request without saying why.")
        goes_on = _goes_on(held, state, called)
        # A summary is for the turn behind it: where none comes, it is not the task's answer either.
        text = "" if held.turn.body.summarises and not goes_on else "".join(held.text)
        return [
            Finish(
                turn=held.turn.turn,
                task=held.turn.task,
                attempt=held.turn.attempt,
                seq=held.seq + 1,
                state=state,
                finish_reason=reason,
                usage=Usage(
                    held.prompt_tokens, 0 if held.turn.body.embed else held.completion_tokens, held.cached_tokens
                ),
                error=error,
                text=text,
                first_token_ms=held.first_token_ms,
                tool_calls=called if state == "succeeded" else (),
                goes_on=goes_on,
                has_logprobs=held.turn.body.params.logprobs is not None,
                context=held.context,
                summarises=held.turn.body.summarises,
            )
        ]


def _goes_on(held: _Held, state: OutcomeState, called: Collection[ToolCall]) -> bool:
    """Whether the task waits behind this turn. One that was to be summarised goes on without that where it cannot be."""
    body = held.turn.body
    if body.summarises:
        return state in ("succeeded", "failed")
    return bool(called) and state == "succeeded" and body.tools_run_here


def _context(held: _Held, use: ContextUse) -> list[Delta]:
    """What the engine counted, before all text. Who goes on behind text tells it to nobody: it stands before that."""
    held.context = use
    if held.turn.streamed or held.stop == "lost":
        return []
    held.seq += 1
    turn = held.turn
    return [Delta(turn=turn.turn, attempt=turn.attempt, seq=held.seq, text="", token_ids=(), context=use)]


def _logprobs(held: _Held, logprobs: tuple[TokenLogprob, ...]) -> list[Delta]:
    """Before their text, in the same call: whoever goes on behind the text finds them in the log."""
    if not logprobs or held.stop == "lost":
        return []
    held.seq += 1
    turn = held.turn
    return [Delta(turn=turn.turn, attempt=turn.attempt, seq=held.seq, text="", token_ids=(), logprobs=logprobs)]


def _no_summary(held: _Held) -> TaskError | None:
    """What is wrong with a summary: it stands for nothing if it says nothing."""
    if not held.turn.body.summarises or "".join(held.text).strip():
        return None
    return TaskError("empty_summary", "The model wrote an empty summary.")


def _not_as_asked(held: _Held, called: tuple[ToolCall, ...], *, reason: str) -> TaskError | None:
    """What is wrong with an answer that was to have a form, or to call tools, whoever wrote its parts."""
    body = held.turn.body
    why = fault_of_calls(body, called)
    if not why and not called and body.output:
        why = fault("".join(held.text), body.output)
    if not why:
        return None
    if reason == "length":
        tokens = held.completion_tokens
        why = f"it was cut after {tokens} tokens, its limit or all that the model holds, before it was complete ({why})"
    return TaskError(INVALID_OUTPUT, f"The answer does not have the form that was asked for: {why}.")
