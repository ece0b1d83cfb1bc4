"""A tenant's application that does not give up: one task, heard to its end on as many connections as that takes."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import httpx

TRY_AGAIN = (HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS)
AGAIN_S = 0.2
SILENT_S = 15.0
"""A connection that has been silent for so long is taken for dead."""


class Listener:
    """Submits, and gathers what is streamed, on a thread of its own."""

    def __init__(self, url: str, key: str, task: dict[str, Any]) -> None:
        headers = {"Authorization": f"Bearer {key}"}
        self._client = httpx.Client(base_url=url, headers=headers, timeout=SILENT_S)
        self._body = {**task, "idempotency_key": uuid.uuid4().hex}
        self._over = threading.Event()
        self.task = self.text = self.problem = ""
        self.numbers: list[int] = []
        self.outcome: dict[str, Any] = {}
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def ended(self) -> bool:
        """There was an outcome, or an answer that no waiting changes."""
        return bool(self.outcome or self.problem)

    def record(self) -> dict[str, Any]:
        """The task's record, once it has ended there; empty before."""
        try:
            answer = self._client.get(f"/api/v1/tasks/{self.task}")
        except httpx.TransportError:
            return {}
        found: dict[str, Any] = answer.json() if answer.status_code == HTTPStatus.OK else {}
        return found if found.get("finished_at") else {}

    def close(self) -> None:
        """Listen no longer."""
        self._over.set()
        self._thread.join(2 * SILENT_S)
        self._client.close()

    def _run(self) -> None:
        while not self.ended and not self._over.is_set():
            try:
                self._hear() if self.task else self._submit()
            except httpx.TransportError:
                self._over.wait(AGAIN_S)

    def _submit(self) -> None:
        answer = self._client.post("/api/v1/tasks", json=self._body)
        if self._is_well(answer, HTTPStatus.ACCEPTED):
            self.task = answer.json()["id"]

    def _hear(self) -> None:
        headers = {"Last-Event-ID": str(self.numbers[-1] if self.numbers else 0)}
        with self._client.stream("GET", f"/api/v1/tasks/{self.task}/events", headers=headers) as answer:
            if not self._is_well(answer, HTTPStatus.OK):
                return
            for number, kind, data in _events(answer.iter_lines()):
                self.numbers.append(number)
                self.text += data.get("text", "")
                if kind == "outcome":
                    self.outcome = data
                if self._over.is_set():
                    return

    def _is_well(self, answer: httpx.Response, wanted: HTTPStatus) -> bool:
        """Whether it is what was wanted; if not, it means "try again", or it is a problem."""
        if answer.status_code == wanted:
            return True
        if answer.is_server_error or answer.status_code in TRY_AGAIN:
            self._over.wait(AGAIN_S)
        else:
            self.problem = f"{answer.status_code} {answer.read().decode()}"
        return False


def _events(lines: Iterator[str]) -> Iterator[tuple[int, str, dict[str, Any]]]:
    number, kind = 0, ""
    for line in lines:
        name, _, value = line.partition(": ")
        if name == "id":
            number = int(value)
        elif name == "event":
            kind = value
        elif name == "data":
            yield number, kind, json.loads(value)
