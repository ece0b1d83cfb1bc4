"""Tasks take their places in conversations, under the lock of the conversations' rows, in the transaction that accepts them.

Only groups with a task of a conversation come here, so that no other pays for it. What is decided is `agents.branches`.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec
import psycopg

from agents.branches import Busy, Moved, Standing, Start, Wait, WhenBusy, at_head
from agents.submissions import CONVERSATIONS_CHANNEL

Row = dict[str, Any]

LOCK = "SELECT id FROM agents_conversation WHERE id = ANY(%s) ORDER BY id FOR UPDATE"

STANDING = """
    SELECT c.id, c.head_number AS head, c.when_busy,
           coalesce((SELECT max(m.number) FROM agents_message m WHERE m.conversation_id = c.id), 0) AS messages,
           coalesce((SELECT max(r.number) FROM agents_reply r WHERE r.conversation_id = c.id), 0) AS tasks,
           coalesce((
               SELECT jsonb_agg(jsonb_build_object('task', r.task_id, 'line', r.line, 'question', r.question_number,
                   'after', r.after_number, 'answer', r.answer_number, 'superseded', r.superseded,
                   'ended', t.finished_at IS NOT NULL) ORDER BY r.number)
               FROM agents_reply r JOIN agents_task t ON t.id = r.task_id
               WHERE r.line IN (SELECT o.line FROM agents_reply o WHERE o.conversation_id = c.id AND NOT o.over)), '[]') AS replies
    FROM agents_conversation c WHERE c.id = ANY(%s)
"""

# What was accepted by the same key before takes no place.
KNOWN = """
    SELECT x.id FROM jsonb_to_recordset(%s::jsonb) AS x(id uuid, tenant uuid, idempotency_key text)
    JOIN agents_task t ON t.tenant_id = x.tenant AND t.idempotency_key = x.idempotency_key
"""

WRITE = """
    WITH rows AS (
        SELECT * FROM jsonb_to_recordset(%(rows)s::jsonb) AS x(
            id uuid, tenant uuid, conversation uuid, number int, line uuid, said int, after int, question int, messages jsonb)
    ), said AS (
        INSERT INTO agents_message (id, tenant_id, conversation_id, task_id, number, parent_number, role, content, created_at)
        SELECT m.id, r.tenant, r.conversation, r.id, m.number, m.parent, m.role, m.content, now()
        FROM rows r CROSS JOIN LATERAL jsonb_to_recordset(r.messages) AS m(id uuid, number int, parent int, role text, content text)
    ), moved AS (
        UPDATE agents_conversation c SET head_number = x.head
        FROM jsonb_to_recordset(%(heads)s::jsonb) AS x(id uuid, head int) WHERE c.id = x.id
    )
    INSERT INTO agents_reply (task_id, tenant_id, conversation_id, number, line, said, after_number, question_number, superseded,
        over)
    SELECT id, tenant, conversation, number, line, said, after, question, '', false FROM rows
"""

# What is rolled back stays so, whatever comes later.
END = """
    UPDATE agents_reply r SET superseded = CASE r.superseded WHEN 'roll_back' THEN r.superseded ELSE x.how END
    FROM jsonb_to_recordset(%s::jsonb) AS x(task uuid, how text) WHERE r.task_id = x.task AND NOT r.over
"""

# Those that wait for their conversations count as waiting, for their tenant and for their API key.
COUNT = """
    SELECT t.id,
           (SELECT count(*) FROM agents_reply o JOIN agents_task p ON p.id = o.task_id
            WHERE NOT o.over AND o.question_number IS NULL AND o.tenant_id = t.tenant_id AND p.pool_id = t.pool_id) AS of_tenant,
           (SELECT count(*) FROM agents_reply o JOIN agents_task p ON p.id = o.task_id
            WHERE NOT o.over AND o.question_number IS NULL AND o.tenant_id = t.tenant_id AND p.pool_id = t.pool_id
              AND p.api_key_id = t.api_key_id) AS of_key
    FROM agents_task t WHERE t.id = ANY(%s)
"""


class Waiting(NamedTuple):
    """A task that waits for its conversation: how many do so of its tenant and its API key, it included.

    `replaces`: it has another one ended, whose place it takes.
    """

    of_tenant: int
    of_key: int
    replaces: bool


class Placed(NamedTuple):
    """What is to be accepted, and why the others are not. `written` are the rows of places, by task."""

    rows: list[Row]
    written: dict[uuid.UUID, Row]
    ends: dict[uuid.UUID, Wait]
    refused: dict[uuid.UUID, Busy | Moved]


class _State:
    """A conversation, as it stands with what this transaction adds to it."""

    def __init__(self, row: Row) -> None:
        self.head: int | None = row["head"]
        self.rule = WhenBusy(row["when_busy"])
        self.messages, self.tasks = row["messages"], row["tasks"]
        self.replies = msgspec.convert(row["replies"], list[Standing])


async def place(connection: psycopg.AsyncConnection[Row], rows: list[Row], conversations: list[uuid.UUID]) -> Placed:
    """Lock the conversations and say where each task of them stands. Nothing is written yet."""
    await connection.execute(LOCK, [conversations])
    standing = await (await connection.execute(STANDING, [conversations])).fetchall()
    states = {row["id"]: _State(row) for row in standing}
    known = await _known(connection, rows)
    placed = Placed([], {}, {}, {})
    for row in rows:
        if row["conversation"] is None:
            placed.rows.append(row)
        elif row["conversation"] not in states:
            placed.refused[row["id"]] = Moved()  # it was deleted
        elif row["id"] not in known:
            _place(row, states[row["conversation"]], placed)
    return placed


async def _known(connection: psycopg.AsyncConnection[Row], rows: Iterable[Row]) -> set[uuid.UUID]:
    keyed = [row for row in rows if row["conversation"] is not None and row["idempotency_key"] is not None]
    if not keyed:
        return set()
    names = ("id", "tenant", "idempotency_key")
    asked = msgspec.json.encode([{name: row[name] for name in names} for row in keyed]).decode()
    known = {row["id"] for row in await (await connection.execute(KNOWN, [asked])).fetchall()}
    first: dict[tuple[Any, Any], uuid.UUID] = {}
    for row in keyed:
        if first.setdefault((row["tenant"], row["idempotency_key"]), row["id"]) != row["id"]:
            known.add(row["id"])
    return known


def _place(row: Row, state: _State, placed: Placed) -> None:
    """Put one task where its request wants it; refuse it, or have it wait, where that is the rule."""
    asked, task = row["place"], row["id"]
    verdict = (
        Start(asked["after"])
        if asked["branches"]
        else at_head(
            head=state.head,
            read_at=asked["after"],
            replies=state.replies,
            rule=WhenBusy(asked["when_busy"] or state.rule),
        )
    )
    if isinstance(verdict, Busy | Moved):
        placed.refused[task] = verdict
        return
    state.tasks += 1
    line = verdict.line if isinstance(verdict, Wait) else task
    reply: Row = {
        "id": task, "tenant": row["tenant"], "conversation": row["conversation"], "number": state.tasks, "line": line,
        "said": len(row["new_messages"]), "after": None, "question": None, "messages": [],
    }  # fmt: skip
    taken = row
    if isinstance(verdict, Wait):
        placed.ends[task] = verdict
        # Its past is put together when its turn comes.
        asks, own = row["input"], len(row["new_messages"])
        taken = {**row, "waits": True, "input": [*asks[: asked["before"]], *asks[len(asks) - own :]]}
    else:
        reply["after"], reply["messages"] = verdict.after, chained(row["new_messages"], verdict.after, state.messages)
        state.messages += len(reply["messages"])
        reply["question"] = reply["messages"][-1]["number"] if reply["messages"] else asked["question"]
        state.head = reply["question"]
    state.replies.append(Standing(task=task, line=line, question=reply["question"], after=reply["after"]))
    placed.rows.append(taken)
    placed.written[task] = reply


def chained(messages: list[Row], after: int | None, last: int) -> list[Row]:
    """Messages, the first behind `after` and each other behind the one before, numbered from behind `last`."""
    return [
        {**message, "number": last + place, "parent": after if place == 1 else last + place - 1}
        for place, message in enumerate(messages, start=1)
    ]


async def write(
    connection: psycopg.AsyncConnection[Row], placed: Placed, accepted: Iterable[uuid.UUID]
) -> dict[uuid.UUID, Waiting]:
    """Write the places of the tasks that were accepted; those that wait, with how many wait."""
    rows = [placed.written[task] for task in accepted if task in placed.written]
    if not rows:
        return {}
    heads: dict[uuid.UUID, int] = {row["conversation"]: row["question"] for row in rows if row["question"] is not None}
    waiting = {row["id"]: placed.ends[row["id"]] for row in rows if row["id"] in placed.ends}
    encoded = [{"id": conversation, "head": head} for conversation, head in heads.items()]
    await connection.execute(
        WRITE, {"rows": msgspec.json.encode(rows).decode(), "heads": msgspec.json.encode(encoded).decode()}
    )
    if not waiting:
        return {}
    ends = {task: verdict.how for verdict in waiting.values() for task in verdict.ends}
    if ends:
        asked = msgspec.json.encode([{"task": task, "how": how} for task, how in ends.items()]).decode()
        await connection.execute(END, [asked])
        await connection.execute("SELECT pg_notify(%s, '')", [CONVERSATIONS_CHANNEL])
    counts = await (await connection.execute(COUNT, [list(waiting)])).fetchall()
    return {row["id"]: Waiting(row["of_tenant"], row["of_key"], bool(waiting[row["id"]].ends)) for row in counts}
