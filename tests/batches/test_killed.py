"""A batch whose web process and effects process are killed in the middle: each line has one answer, with all of its choices.

The long form, with 10,000 lines: benchmarks/batches.py.
"""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

from agents.models import Task
from benchmarks.batches import faults
from tests.batches.conftest import Processes, begin, counts, ended, jsonl, line, until

pytestmark = pytest.mark.timeout(150)
LINES = 700
CHOICES = 3
"""Of every fourth line."""


def asked(number: int) -> dict[str, Any]:
    whole = line(number)
    return whole if number % 4 else {**whole, "body": {**whole["body"], "n": CHOICES}}


async def test_nothing_is_lost_or_doubled(processes: Processes) -> None:
    async with openai.AsyncOpenAI(
        base_url=f"{processes.url}/v1", api_key=processes.scene.ann.key, max_retries=0
    ) as client:
        batch = await begin(client, jsonl(*(asked(number) for number in range(LINES))))
        seen = await until(client, batch, lambda now: counts(now)[1] > 0)
        processes.kill()
        assert (seen.status, counts(seen)[1] < LINES) == ("in_progress", True)
        processes.start_again()
        done = await ended(client, batch)
        assert (done.status, counts(done)) == ("completed", (LINES, LINES, 0)), done
        text = (await client.files.content(str(done.output_file_id))).text
    rows = [json.loads(row) for row in text.splitlines()]
    assert faults(rows, LINES) == []
    choices = [len(row["response"]["body"]["choices"]) for row in rows]
    assert choices == [1 if number % 4 else CHOICES for number in range(LINES)]
    assert await Task.objects.for_tenant(processes.scene.ann.tenant).acount() == sum(choices)  # none was made twice
