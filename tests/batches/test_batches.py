"""Batches by the official client, on real processes."""

from __future__ import annotations

import openai
import pytest

from agents.submissions import body_of
from gpu_worker.engines.simulated_text import whole_answer
from tests.batches.conftest import Stack, begin, ended, jsonl, line, lines_of

pytestmark = pytest.mark.timeout(150)


async def test_a_batch_from_its_file_to_its_answers(stack: Stack, ann: openai.AsyncOpenAI) -> None:
    stack.recorder()
    stack.effects()
    stack.worker()
    batch = await begin(ann, jsonl([line(number) for number in range(30)]), metadata={"of": "a test"})
    assert (batch.status, batch.object, batch.completion_window) == ("validating", "batch", "24h")
    done = await ended(ann, batch)
    assert done.status == "completed", done
    assert done.error_file_id is None
    assert done.metadata == {"of": "a test"}
    assert done.request_counts is not None
    assert (done.request_counts.total, done.request_counts.completed, done.request_counts.failed) == (30, 30, 0)
    rows = await lines_of(ann, done.output_file_id)
    assert [row["custom_id"] for row in rows] == [f"line-{number}" for number in range(30)]
    for number, row in enumerate(rows):
        assert set(row) == {"id", "custom_id", "response", "error"}
        assert row["id"].startswith("batch_req_")
        assert row["error"] is None
        assert row["response"]["status_code"] == 200
        answer = openai.types.chat.ChatCompletion.model_validate(row["response"]["body"], strict=True)
        asked = body_of([{"role": "user", "content": f"tell me of {number}"}], {"max_tokens": 3})
        assert answer.choices[0].message.content == whole_answer(asked).text
        assert answer.model == "poet"
