"""Lines of the processes that run no task of a tenant's, and of both web servers: JSON, all of them."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from orchestrator.health import clear_line
from tests.gpu_worker.conftest import WorkerProcess, until
from tests.telemetry.conftest import Watched

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(150)]

ON_A_SIGNAL = ("", "worker: Warm shutdown (MainProcess)")
"""What celery writes itself, past all logging."""


async def test_every_process_writes_json(watched: Watched) -> None:
    os.makedirs(watched.env["OPSITE_DATA_DIR"], exist_ok=True)  # beat's timetable lies there  # noqa: PTH103
    watched.run("orchestrate", OPSITE_GPUS="", OPSITE_MAX_LOCAL_WORKERS="0")
    watched.start("-m", "celery", "--quiet", "-A", "opsite", "worker", "--beat", "--loglevel", "INFO")
    web = watched.web("daphne")
    async with web.client() as client:
        assert (await client.get("/api/v1/tasks?api=ops_notakeynotakeynotakey")).status_code == 401
        assert (await client.get("/livez")).status_code == 200

    def said(process: str, part: str) -> bool:
        return any(
            f'"process": "{process}"' in line and part in line for lines in watched.lines().values() for line in lines
        )

    await until(
        lambda: said("celery", " ready.") and said("web", "GET /api/v1/tasks 401") and said("orchestrator", "lead")
    )
    watched.end()
    written = [line for lines in watched.lines().values() for line in lines]
    lines = [json.loads(line) for line in written if line not in ON_A_SIGNAL]
    assert {line["process"] for line in lines} == {"orchestrator", "celery", "web"}
    access = [line for line in lines if line["logger"] == "opsite.access"]
    assert [(line["method"], line["path"], line["status"]) for line in access] == [("GET", "/api/v1/tasks", 401)]
    assert "notakey" not in json.dumps(lines)


def test_a_workers_last_word_is_a_line_that_the_orchestrator_reads(tmp_path: Path) -> None:
    environment = {
        "OPSITE_REDIS_URL": "unix:///nowhere.sock",
        "OPSITE_POOL": "p",
        "OPSITE_ENGINE": "simulated",
        "OPSITE_ENGINE_ARGS": '{"nothing": 1}',
        "OPSITE_LOG_FORMAT": "json",
    }
    worker = WorkerProcess(environment, tmp_path / "worker.log", python=sys.executable)
    assert worker.wait() == 78
    last = json.loads(worker.stderr.splitlines()[-1])
    assert (last["process"], last["level"]) == ("worker", "ERROR")
    assert clear_line(worker.stderr) == last["message"].removeprefix("opsite-worker: error: ")
