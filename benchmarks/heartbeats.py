"""Heartbeats of workers that are not there, as full workers send them: for benchmarks of those who hear them. No Django."""

from __future__ import annotations

import time

import redis

from taskqueue import calls, keys
from taskqueue.connections import connect
from taskqueue.messages import Work, WorkerStatus

SLOTS = 16
BEAT_S = 0.5
STEP_S = 0.02

Workers = dict[str, list[str]]
"""Workers' ids by their pools' slugs."""


def beat(client: redis.Redis, workers: Workers, *, beats: int) -> None:
    """One heartbeat of every worker, the `beats`th, as busy as full workers are; one round trip per pool."""
    steps = round(beats * BEAT_S / STEP_S)
    work = Work(
        steps=steps,
        steps_s=steps * STEP_S,
        sequences=steps * SLOTS,
        prefilled=steps * SLOTS,
        turns=steps // 10,
        prompt_tokens=steps * 10,
        answer_tokens=steps * SLOTS,
    )
    for pool, ids in workers.items():
        pipeline = client.pipeline(transaction=False)
        for worker in ids:
            status = WorkerStatus(
                worker=worker,
                phase="ready",
                engine="simulated",
                model="",
                slots=SLOTS,
                running=SLOTS,
                tokens_total=steps * SLOTS,
                work=work,
            )
            call = calls.heartbeat(status, [], lease_s=5.0)
            pipeline.eval(call.script.text, 1, keys.prefix(pool), *call.args)
        pipeline.execute()


def keep_beating(redis_url: str, workers: Workers) -> None:
    """Beat twice a second until the process is ended: for a process of its own."""
    client, beats = connect(redis_url), 0
    while True:
        begun = time.monotonic()
        beats += 1
        beat(client, workers, beats=beats)
        time.sleep(max(0.0, BEAT_S - (time.monotonic() - begun)))
