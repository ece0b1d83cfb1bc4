"""The whole service as docker-compose.yml describes it, under a project name of its own."""

from __future__ import annotations

import io
import os
import re
import secrets
import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker
import httpx
from docker.models.containers import Container

from tests.conftest import ROOT, SERVER_IMAGES
from tests.faces.conftest import free_port

SOCKET = Path("/var/run/docker.sock")
PATIENCE_S = 120.0
COMMAND_TIMEOUT_S = 150.0
LOG_LINES = 30


class Composed:
    """One project: its `.env`, its commands, what the engine says of it."""

    def __init__(self, folder: Path, *, image: str, worker_image: str) -> None:
        self.project = f"opsite-test-{uuid.uuid4().hex[:8]}"
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        self.engine = docker.from_env()
        self._env_file = folder / ".env"
        self._env_file.write_text(
            filled_in((ROOT / "deploy" / ".env.example").read_text(), PORT=port, OPSITE_WORKER_IMAGE=worker_image)
            + "POSTGRES_IMAGE={}\nREDIS_IMAGE={}\n".format(*SERVER_IMAGES)
        )
        self._image = self._first_image = image

    # -- commands ------------------------------------------------------------------------------
    def compose(self, *words: str, check: bool = True) -> str:
        """`docker compose …`, and what it printed. Nothing of the tests' own environment reaches the file."""
        own = {
            name: os.environ[name] for name in ("PATH", "HOME", "DOCKER_HOST", "DOCKER_CONFIG") if name in os.environ
        }
        done = subprocess.run(
            ["docker", "compose", "--project-name", self.project, "--env-file", str(self._env_file), *words],
            cwd=ROOT,
            env={**own, "OPSITE_IMAGE": self._image},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_TIMEOUT_S,
        )
        assert not check or done.returncode == 0, f"docker compose {words}: {done.stdout}{done.stderr}\n{self.logs()}"
        return done.stdout + done.stderr

    def manage(self, service: str, *words: str, check: bool = True) -> str:
        """`manage.py …` in a container of its own beside those that run."""
        run = ("run", "--rm", "--no-deps", "-T", service)
        return self.compose(*run, "python", "manage.py", *words, check=check)

    def renew_image(self) -> str:
        """From now on the control plane is of a new image: the same program by another digest."""
        recipe = f"FROM {self._first_image}\nLABEL version=new\n".encode()
        self._image = f"{self.project}:new"
        self.engine.images.build(fileobj=io.BytesIO(recipe), tag=self._image, rm=True)
        return self._image

    def up(self) -> None:
        """Start what does not run, make anew what has changed; until the web process takes tasks."""
        self.compose("up", "--detach")
        self.until(self.is_ready, "the service is ready")

    def logs(self) -> str:
        """The end of what each service said."""
        return self.compose("logs", "--no-color", "--tail", str(LOG_LINES), check=False)

    def remove(self) -> None:
        """Whatever is left of the project goes, workers and volumes included."""
        self.compose("stop", "orchestrator", check=False)  # it would start workers again
        for container in self.workers():
            container.remove(force=True, v=True)
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "1", check=False)
        if self._image != self._first_image:
            self.engine.images.remove(self._image)
        self.engine.close()

    # -- what is seen --------------------------------------------------------------------------
    def is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    def container(self, service: str) -> Container:
        """The service's container, running or not."""
        labels = [f"com.docker.compose.project={self.project}", f"com.docker.compose.service={service}"]
        (found,) = self.engine.containers.list(all=True, filters={"label": labels}, ignore_removed=True)
        return found

    def workers(self, pool: str = "") -> list[Container]:
        """The worker containers of the stack, or of one pool of it, the ended ones included."""
        labels = [f"opsite.stack={self.project}", *([f"opsite.pool={pool}"] if pool else [])]
        return list(self.engine.containers.list(all=True, filters={"label": labels}, ignore_removed=True))

    def leftovers(self) -> set[str]:
        """Names of containers, volumes and networks that begin with the project's name."""
        named = [container.name for container in self.engine.containers.list(all=True, ignore_removed=True)]
        named += [volume.name for volume in self.engine.volumes.list()]
        named += [network.name for network in self.engine.networks.list()]
        return {str(name) for name in named if str(name).startswith(self.project)}

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        """The condition's first true value; fails with `what` and the services' logs after the bound."""
        deadline = time.monotonic() + PATIENCE_S
        while not (value := condition()):
            assert time.monotonic() < deadline, f"not within {PATIENCE_S:g} s: {what}\n{self.logs()}"
            time.sleep(0.1)
        return value


def filled_in(example: str, **given: object) -> str:
    """`.env.example` with its empty secrets made up, as its comments tell, and the given lines changed."""
    made_up = {name: secrets.token_hex(24) for name in ("SECRET_KEY", "POSTGRES_PASSWORD", "REDIS_PASSWORD")}
    values = {**made_up, "DOCKER_GID": SOCKET.stat().st_gid, **given}
    for name, value in values.items():
        example, count = re.subn(rf"^{name}=.*$", f"{name}={value}", example, flags=re.MULTILINE)
        assert count == 1, f"deploy/.env.example does not name {name}"
    return example
