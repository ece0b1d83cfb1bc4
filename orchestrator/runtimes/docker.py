"""Workers as containers of the Docker engine on this host, shut in as tightly as their work allows.

A worker reaches nothing but the folder of Redis' unix socket: network `none`, read-only root with tmpfs where it must
write, no capabilities, bounded memory and processes, exactly the GPUs that it was given. Labels tell whose it is.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

import docker
import requests.exceptions
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.types import DeviceRequest, Mount

from orchestrator.runtimes import (
    LOG_TAIL_LINES,
    PEEK_BYTES,
    Instance,
    Peek,
    RuntimeUnavailable,
    StartAbandoned,
    StartFailed,
    WorkerSpec,
)
from orchestrator.runtimes.pulling import PullProgress

log = logging.getLogger(__name__)

LABEL = "opsite"
STACK, POOL, WORKER, GPUS = f"{LABEL}.stack", f"{LABEL}.pool", f"{LABEL}.worker", f"{LABEL}.gpus"
SOCKET_FOLDER = "/run/opsite-redis"
HOME = "/home/opsite"
NOBODY = "65534:65534"
TIMEOUT_S = 60
"""For what is done on a thread of its own: to create a container may take its time."""
LOOK_TIMEOUT_S = 4
"""For what the loop, and so all pools, wait for: an engine that is silent for so long is not there until the next tick."""
PEEK_TIMEOUT_S = 10
PEEK_LINES = 200
"""Entries of the engine's log, each of 16 KiB at most."""
SILENT_PULL_S = 600
"""A layer may be unpacked for so long without a word."""
GIB = 1 << 30
DEFAULT_LIMITS = {"memory_bytes": 16 * GIB, "pids": 1024, "shm_bytes": GIB}
_RUNNING = ("running", "paused", "restarting")


class DockerRuntime:
    """Workers of one stack. The engine is looked for at first use, so that a stack without Docker never needs it."""

    def __init__(self, *, stack: str, socket_folder: str = "") -> None:
        self._stack = stack
        self._socket_folder = socket_folder
        self._connections: dict[int, docker.DockerClient] = {}

    def start(self, spec: WorkerSpec, progress: Callable[[str], None]) -> str:
        """Pull the image if it is not here, create and start the container; its ref is the container's id."""
        if not spec.image:
            raise StartFailed("The pool names no image: set its image, or OPSITE_WORKER_IMAGE.")
        with self._speaking():
            self._have_image(spec.image, progress)
            progress("creating the container")
            try:
                container = self._client(TIMEOUT_S).containers.create(spec.image, **self.arguments(spec))
            except APIError as error:
                raise StartFailed(f"The engine refuses the container: {_said(error)}") from error
            try:
                progress("starting the container")
                container.start()
            except StartAbandoned:
                container.remove(force=True)
                raise
            except APIError as error:
                container.remove(force=True)
                raise StartFailed(_why_not_started(error, spec)) from error
            return str(container.id)

    def list(self) -> list[Instance]:
        """All containers with our label, the ended ones included."""
        with self._speaking():
            found = self._client().containers.list(
                all=True, filters={"label": f"{STACK}={self._stack}"}, ignore_removed=True
            )
            return [_instance(container.attrs) for container in found]

    def stop(self, ref: str, grace_s: float) -> None:
        """SIGTERM, without waiting for the end."""
        self._send(ref, "SIGTERM")

    def kill(self, ref: str) -> None:
        """SIGKILL."""
        self._send(ref, "SIGKILL")

    def remove(self, ref: str) -> None:
        """Remove the container and its anonymous volumes."""
        with self._speaking(), _gone_is_fine():
            self._client().containers.get(ref).remove(force=True, v=True)

    def log_tail(self, ref: str) -> str:
        """The end of the container's output."""
        with self._speaking():
            try:
                raw: bytes = self._client().containers.get(ref).logs(tail=LOG_TAIL_LINES)
            except APIError:  # it is gone, or its logs go elsewhere
                return ""
        return raw.decode(errors="replace").rstrip("\n")

    def peek(self, ref: str) -> Peek:
        """The same, and what the engine measures."""
        with self._speaking():
            client = self._client(PEEK_TIMEOUT_S)
            try:
                container = client.containers.get(ref)
                log_end = b""
                for part in container.logs(tail=PEEK_LINES, stream=True, follow=False):
                    log_end = (log_end + part)[-PEEK_BYTES:]
                stats = client.api.stats(ref, stream=False, one_shot=True)
            except NotFound:
                return Peek()
        return Peek(
            log=log_end.decode(errors="replace"),
            pid=container.attrs["State"].get("Pid") or None,
            cpu_s=_cpu_s(stats),
            memory_bytes=_memory_bytes(stats),
        )

    def arguments(self, spec: WorkerSpec) -> dict[str, Any]:
        """What the container is created with, in docker-py's words."""
        limits = {**DEFAULT_LIMITS, **spec.limits}
        env, redis_mount, owner = self._way_to_redis(spec)
        mounts = [Mount(target=path, source=path, type="bind", read_only=True) for path in spec.mounts]
        return {
            "name": f"{self._stack}-{spec.pool}-{spec.worker[-12:]}",
            "environment": {
                "HOME": HOME,
                "XDG_CACHE_HOME": f"{HOME}/.cache",
                "PYTHONUNBUFFERED": "1",
                "OPSITE_WORKER_ID": spec.worker,
                "OPSITE_STACK": self._stack,
                "OPSITE_RUNTIME": "docker",
                # Where NVIDIA's runtime is the engine's default, its images would see all GPUs; what is given comes by the request.
                **({} if spec.gpus else {"NVIDIA_VISIBLE_DEVICES": "void"}),
                **spec.env,
                **env,
            },
            "labels": {STACK: self._stack, POOL: spec.pool, WORKER: spec.worker, GPUS: ",".join(spec.gpus)},
            "user": owner,
            "network_mode": "none",
            "read_only": True,
            "tmpfs": dict.fromkeys(("/tmp", HOME), "rw,nosuid,nodev,exec,size=4g,mode=1777"),  # noqa: S108 - the container's own
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges:true"],
            "mem_limit": limits["memory_bytes"],
            "memswap_limit": limits["memory_bytes"],
            "pids_limit": limits["pids"],
            "shm_size": limits["shm_bytes"],
            "init": True,
            "mounts": [redis_mount, *mounts],
            "device_requests": [DeviceRequest(device_ids=list(spec.gpus), capabilities=[["gpu"]])]
            if spec.gpus
            else None,
            "log_config": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "2"}},
        }

    def _way_to_redis(self, spec: WorkerSpec) -> tuple[dict[str, str], Mount, str]:
        """The folder of Redis' socket, seen inside at `SOCKET_FOLDER`, and the user who may use it."""
        address = spec.redis_url
        if not address.startswith("unix://"):
            raise StartFailed(
                "Container workers have no network: Redis must listen on a unix socket too. "
                "Set REDIS_URL=unix:///…/redis.sock (and OPSITE_REDIS_SOCKET_DIR, if the host has it elsewhere)."
            )
        parts = urlsplit(address)
        socket = Path(unquote(parts.path))
        inside = f"unix://{parts.netloc}{SOCKET_FOLDER}/{parts.path.rpartition('/')[2]}"
        inside += f"?{parts.query}" if parts.query else ""
        source = self._socket_folder or str(socket.parent)
        kind: Literal["bind", "volume"] = "bind" if source.startswith("/") else "volume"
        mount = Mount(target=SOCKET_FOLDER, source=source, type=kind, read_only=True)
        return {"OPSITE_REDIS_URL": inside}, mount, _user_of(socket)

    def has_image(self, image: str) -> bool:
        """Whether the engine has it."""
        with self._speaking():
            try:
                self._client(TIMEOUT_S).images.get(image)
            except ImageNotFound:
                return False
            except APIError as error:
                raise StartFailed(f"Image {image}: {_said(error)}") from error
            return True

    def pull(self, image: str, tell: Callable[[int, int], None], stop: threading.Event) -> None:
        """Pull it; `tell` is given the bytes that are here, and all of them as far as is known.

        `stop` ends it between two messages.
        """
        seen = PullProgress()
        for message in self._pulled(image):
            if stop.is_set():
                return
            if seen.hear(message):
                tell(seen.done, seen.total)

    def _have_image(self, image: str, progress: Callable[[str], None]) -> None:
        """For a start: it is here as a rule, unless somebody has just removed it."""
        if self.has_image(image):
            return
        log.info("pulling image %s", image)
        seen = PullProgress()
        for message in self._pulled(image):
            if (said := seen.told(message)) is not None:
                progress(f"pulling {image}: {said}")

    def _pulled(self, image: str) -> Iterator[Mapping[str, Any]]:
        """The engine's messages. A client of its own: its silence may last, and the others' must not."""
        with self._speaking(), closing(docker.from_env(timeout=SILENT_PULL_S)) as client:
            try:
                for message in client.api.pull(*_repository_and_tag(image), stream=True, decode=True):
                    if "error" in message:
                        raise StartFailed(_not_pulled(image, str(message["error"])))
                    yield message
            except APIError as error:
                raise StartFailed(_not_pulled(image, _said(error))) from error

    def _send(self, ref: str, signal: str) -> None:
        with self._speaking(), _gone_is_fine():
            self._client().containers.get(ref).kill(signal=signal)

    def _client(self, timeout_s: int = LOOK_TIMEOUT_S) -> docker.DockerClient:
        """One for each bound in seconds; a new one is given out only when the engine has answered it."""
        client = self._connections.get(timeout_s)
        if client is None:
            client = docker.from_env(timeout=timeout_s)
            client.ping()
            self._connections[timeout_s] = client
        return client

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        """Turn "no engine", and an answer of the engine that nothing is made of, into a sentence that says what to do."""
        try:
            yield
        except (requests.exceptions.ConnectionError, requests.exceptions.Timeout) as error:
            self._connections.clear()
            raise RuntimeUnavailable(_no_engine(error)) from error
        except APIError as error:
            raise RuntimeUnavailable(_failing(error)) from error
        except DockerException as error:
            self._connections.clear()
            raise RuntimeUnavailable(_no_engine(error)) from error


def _cpu_s(stats: Mapping[str, Any]) -> float | None:
    spent = stats.get("cpu_stats", {}).get("cpu_usage", {}).get("total_usage")
    return spent / 1e9 if spent else None


def _memory_bytes(stats: Mapping[str, Any]) -> int | None:
    """As `docker stats` shows it: without the file cache that the kernel may drop at any moment."""
    memory = stats.get("memory_stats", {})
    used = memory.get("usage")
    if used is None:
        return None
    more = memory.get("stats", {})
    return int(used) - int(more.get("inactive_file", more.get("total_inactive_file", 0)))


def _user_of(socket: Path) -> str:
    """Nobody, where everybody may use the socket; its owner otherwise (who has no capabilities in there either)."""
    try:
        seen = socket.stat()
    except OSError:
        return NOBODY
    return NOBODY if seen.st_mode & 0o002 else f"{seen.st_uid}:{seen.st_gid}"


def _instance(attrs: Mapping[str, Any]) -> Instance:
    labels, state = attrs["Config"]["Labels"], attrs["State"]
    alive = state["Status"] in _RUNNING
    begun = state.get("StartedAt", "")
    return Instance(
        ref=attrs["Id"],
        worker=labels.get(WORKER, ""),
        pool=labels.get(POOL, ""),
        alive=alive,
        started_at=_moment(begun if not begun.startswith("0001") else attrs["Created"]),
        exit_code=None if alive else int(state["ExitCode"]),
        gpus=tuple(filter(None, labels.get(GPUS, "").split(","))),
    )


def _moment(text: str) -> float:
    """Docker's time as Unix time."""
    return datetime.fromisoformat(text).timestamp()


@contextmanager
def _gone_is_fine() -> Iterator[None]:
    """A container that has ended or gone already (404, 409) needs nothing more."""
    try:
        yield
    except APIError as error:
        if error.status_code not in (404, 409):
            raise


def _repository_and_tag(image: str) -> tuple[str, str | None]:
    name, mark, tag = image.rpartition(":")
    if "@" in image or not mark or "/" in tag:
        return image, None if "@" in image else "latest"
    return name, tag


def _not_pulled(image: str, said: str) -> str:
    return f"Image {image} is not here and cannot be pulled ({said}): build it, or correct its name."


def _said(error: APIError) -> str:
    return str(error.explanation or error).strip()


def _failing(error: APIError) -> str:
    return f"The Docker engine fails, see its log: {_said(error)}"


def _no_engine(error: Exception) -> str:
    where = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    return f"Docker engine is not reachable at {where}: start it, or set the pool's runtime to process. ({error})"


def _why_not_started(error: APIError, spec: WorkerSpec) -> str:
    said = _said(error)
    if spec.gpus and any(word in said for word in ("device driver", "nvidia", "gpu", "CDI")):
        return (
            f"The engine cannot give the container GPUs {', '.join(spec.gpus)}: install the NVIDIA Container Toolkit "
            f"and restart Docker, or set the pool's GPUs per worker to 0. ({said})"
        )
    return f"The container does not start: {said}"
