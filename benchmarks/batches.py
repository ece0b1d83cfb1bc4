"""A batch of many lines through the whole service: how fast it is, what a chat beside it feels, and what kills do to it.

    python -m benchmarks.batches                 (10,000 lines; fails if a line is lost, doubled or wrong)
    python -m benchmarks.batches --lines 1000

Web, recorder, effects and one worker with the simulated engine are real processes. First a batch runs undisturbed. Then chats are
asked one after another, alone and beside a second batch, all of one tenant. In the middle of a third batch the web process and the
effects process are killed (SIGKILL) and started again.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Literal

import openai
from openai.types import Batch

from benchmarks.machine import command, cpu_s, machine, quantile
from benchmarks.stack import Service, our_service, servers, wait_for

ENGINE = {"step_base_s": 0.02}
SLOTS = 512
ANSWER_TOKENS = 8
CHATS = 60
END_S = 900.0
ENDPOINT: Literal["/v1/chat/completions"] = "/v1/chat/completions"


def line(number: int) -> dict[str, Any]:
    """A line that asks for a short answer."""
    body = {
        "model": "bench",
        "messages": [{"role": "user", "content": f"tell me of number {number}"}],
        "max_tokens": ANSWER_TOKENS,
    }
    return {"custom_id": f"line-{number}", "method": "POST", "url": ENDPOINT, "body": body}


def faults(rows: Sequence[dict[str, Any]], lines: int) -> list[str]:
    """What is wrong with the output of a batch of `line(0)` to `line(lines - 1)`."""
    found = Counter(row["custom_id"] for row in rows)
    wanted = {f"line-{number}" for number in range(lines)}
    said = []
    if lost := wanted - found.keys():
        said.append(f"{len(lost)} lines are lost, such as {min(lost)}")
    if doubled := [name for name, count in found.items() if count > 1]:
        said.append(f"{len(doubled)} lines are doubled, such as {min(doubled)}")
    if strange := found.keys() - wanted:
        said.append(f"{len(strange)} lines were never asked for, such as {min(strange)}")
    if tasks := [count for count in Counter(row["response"]["request_id"] for row in rows).values() if count > 1]:
        said.append(f"{len(tasks)} tasks answer more than one line")
    if wrong := [row for row in rows if row["response"]["status_code"] != 200]:
        said.append(f"{len(wrong)} lines failed: {wrong[0]}")
    return said


class Bench:
    """The service, its client, and the lines."""

    def __init__(self, service: Service, lines: int) -> None:
        self.service, self.lines = service, lines
        self.client = openai.OpenAI(base_url=f"{service.url}/v1", api_key=service.key, max_retries=20)
        self.effects = service.start("manage.py", "effects")
        self.worker = service.start(
            "-m",
            "gpu_worker",
            OPSITE_REDIS_URL=service.addresses.redis_url,
            OPSITE_POOL="bench",
            OPSITE_WORKER_ID="bench-1",
            OPSITE_ENGINE="simulated",
            OPSITE_SLOTS=str(SLOTS),
            OPSITE_ENGINE_ARGS=json.dumps(ENGINE),
            OPSITE_LOG_LEVEL="warning",
        )
        data = b"".join(json.dumps(line(number)).encode() + b"\n" for number in range(lines))
        self._file = self.client.files.create(file=("lines.jsonl", data), purpose="batch").id

    def begin(self) -> Batch:
        """A batch of all lines."""
        return self.client.batches.create(input_file_id=self._file, endpoint=ENDPOINT, completion_window="24h")

    def until(self, batch: Batch, check: Callable[[int, str], bool]) -> Batch:
        """Wait until `check` of how many lines are completed, and of the state."""
        deadline = time.monotonic() + END_S
        while time.monotonic() < deadline:
            now = self.client.batches.retrieve(batch.id)
            if now.status in ("failed", "expired"):
                raise RuntimeError(f"the batch is {now.status}: {now.errors}")
            if check(now.request_counts.completed if now.request_counts else 0, now.status):
                return now
            time.sleep(0.1)
        raise TimeoutError(f"it did not happen in {END_S:g} s")

    def run(self) -> float:
        """A whole batch; its seconds."""
        started = time.monotonic()
        self.judge(self.until(self.begin(), lambda _, state: state == "completed"))
        return time.monotonic() - started

    def cpu(self) -> dict[str, float]:
        """CPU seconds so far of what runs a batch."""
        pids = {"effects": [self.effects], "recorder": [self.service.recorder], "worker": [self.worker]}
        return {name: cpu_s(of) for name, of in {**pids, **servers(self.service.folder)}.items()}

    def judge(self, batch: Batch) -> None:
        """Hold the output against the lines; raises if it is not exactly right."""
        text = self.client.files.content(batch.output_file_id or "").text
        said = faults([json.loads(row) for row in text.splitlines()], self.lines)
        if batch.error_file_id or said:
            raise AssertionError(f"the output is wrong: {said or 'there is an error file'}")

    def chats(self, count: int) -> list[float]:
        """Seconds of chats, one after another."""
        took = []
        for number in range(count):
            started = time.monotonic()
            self.client.chat.completions.create(
                model="bench",
                messages=[{"role": "user", "content": f"and what of {number}?"}],
                max_tokens=ANSWER_TOKENS,
            )
            took.append(time.monotonic() - started)
        return took

    def kill(self, pid: int) -> None:
        """SIGKILL, and wait until it is gone."""
        (process,) = (one for one in self.service.started if one.pid == pid)
        os.kill(pid, signal.SIGKILL)
        process.wait()

    def killed(self) -> float:
        """A batch in whose middle web and effects are killed; its seconds."""
        started = time.monotonic()
        batch = self.begin()
        self.until(batch, lambda completed, _: completed >= self.lines * 0.3)
        self.kill(self.service.web)
        self.service.web = self.service.start("manage.py", "serve", "--port", self.service.url.rpartition(":")[2])
        wait_for(f"{self.service.url}/readyz")
        self.until(batch, lambda completed, _: completed >= self.lines * 0.5)
        self.kill(self.effects)
        self.effects = self.service.start("manage.py", "effects")
        self.judge(self.until(batch, lambda _, state: state == "completed"))
        return time.monotonic() - started


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Batches: throughput, chats beside them, and kills.")
    parser.add_argument("--lines", type=int, default=10_000)
    lines: int = parser.parse_args().lines
    print(f"{command()}\n{machine()}\n", flush=True)
    with our_service(server="uvicorn") as service:
        bench = Bench(service, lines)
        before = bench.cpu()
        seconds = bench.run()
        used = {name: after - before[name] for name, after in bench.cpu().items()}
        print(
            f"{lines} lines in {seconds:.1f} s: {lines / seconds:.0f} lines/s, from the call to the output", flush=True
        )
        said = ", ".join(f"{name} {of / lines * 1000:.2f} ms" for name, of in used.items())
        print(f"CPU for each line: {said}", flush=True)
        bench.chats(5)
        alone = bench.chats(CHATS)
        batch = bench.begin()
        bench.until(batch, lambda completed, _: completed > 0)
        beside = bench.chats(CHATS)
        if bench.client.batches.retrieve(batch.id).status != "in_progress":
            print("the batch ended before the chats did: take more --lines", flush=True)
        bench.until(batch, lambda _, state: state == "completed")
        for name, of in (("median", statistics.median), ("p95", lambda values: quantile(values, 0.95))):
            print(
                f"chat, {name}: alone {of(alone) * 1000:.0f} ms, beside a batch {of(beside) * 1000:.0f} ms, "
                f"{of(beside) / of(alone):.2f} times",
                flush=True,
            )
        seconds = bench.killed()
        print(f"web and effects killed in the middle: {lines} lines in {seconds:.1f} s, each once", flush=True)


if __name__ == "__main__":
    main()
