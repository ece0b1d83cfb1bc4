"""Workers as processes of this host: detached, so that they outlive the orchestrator, and found again by the next one.

A worker is known by a small file beside its log: pid, the start time of that pid, and the worker's id, which stands in
the process' environment too. A pid is signalled only when all three agree, so a number that the kernel gave to
somebody else is never killed. A file that was not written because the orchestrator died just then is made up for from
/proc at adoption.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from orchestrator.runtimes import LOG_TAIL_LINES, PEEK_BYTES, Instance, Peek, StartFailed, WorkerSpec
from orchestrator.runtimes.proc import environment, pids, session_use, settled_environment, start_ticks, started_at

log = logging.getLogger(__name__)

NAME = "process"
LOG_TAIL_BYTES = 64 * 1024
LOG_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND
KEEP_LOGS_S = 7 * 24 * 3600.0
PASSED_ON = (
    "LANG",
    "LANGUAGE",
    "TZ",
    "PATH",
    "HOME",
    "USER",
    "SHELL",
    "TMPDIR",
    "http_proxy",
    "https_proxy",
    "no_proxy",
)
PASSED_ON_PREFIXES = (
    "LC_", "LD_", "PYTHON", "CUDA", "NVIDIA_", "NCCL_", "HF_", "HUGGINGFACE_", "TRANSFORMERS_", "TORCH", "PYTORCH_",
    "TRITON_", "VLLM_", "OMP_", "MKL_", "OPENBLAS_", "XDG_", "COVERAGE_", "SSL_",
)  # fmt: skip
"""What a worker inherits. The rest (the database's address, secrets) is none of its business."""


class _Card(msgspec.Struct, frozen=True):
    """The file by which a worker process is found again."""

    worker: str
    pool: str
    pid: int
    ticks: int
    gpus: tuple[str, ...] = ()


class ProcessRuntime:
    """Workers of one stack as children of their own session; logs and cards lie in `folder`."""

    def __init__(self, *, stack: str, folder: Path, working_directory: Path) -> None:
        self._stack = stack
        self._folder = folder
        self._cwd = working_directory
        self._children: dict[str, int] = {}
        self._exit_codes: dict[str, int] = {}
        self._unwritten: dict[str, _Card] = {}

    def start(self, spec: WorkerSpec, progress: Callable[[str], None]) -> str:
        """Start a worker; its ref is its id."""
        self._folder.mkdir(parents=True, exist_ok=True)
        env = {**inherited(os.environ), **spec.env}
        env |= {"OPSITE_WORKER_ID": spec.worker, "OPSITE_STACK": self._stack, "OPSITE_POOL": spec.pool}
        env["OPSITE_RUNTIME"] = NAME
        env["PYTHONUNBUFFERED"] = "1"
        env["PYTHONPATH"] = os.pathsep.join(filter(None, (str(self._cwd), env.get("PYTHONPATH"))))
        if spec.gpus:
            env["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # as the inventory counts them
            env["CUDA_VISIBLE_DEVICES"] = ",".join(spec.gpus)
        elif "CUDA_VISIBLE_DEVICES" not in spec.env:
            env["CUDA_VISIBLE_DEVICES"] = ""  # all GPUs are somebody else's
        try:
            pid = os.posix_spawnp(
                spec.python,
                [spec.python, "-m", "gpu_worker"],
                env,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 1, str(self._log(spec.worker)), LOG_FLAGS, 0o600),
                    (os.POSIX_SPAWN_DUP2, 1, 2),
                ],
                setsid=True,  # signals to the orchestrator's group are not for its workers
                setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],  # Python ignores them; a worker decides itself
            )
        except OSError as error:
            raise StartFailed(
                f"{spec.python or 'The interpreter'} cannot be started ({error.strerror or error}): "
                "correct OPSITE_WORKER_PYTHON in the pool's env or in the settings."
            ) from error
        self._children[spec.worker] = pid
        self._keep(_Card(spec.worker, spec.pool, pid, start_ticks(pid) or 0, spec.gpus))
        return spec.worker

    def list(self) -> list[Instance]:
        """One card, one worker. Children that ended are reaped here, so that no zombie stays."""
        cards = [card for path in self._folder.glob("*.card") if (card := _read(path)) is not None]
        return [self._instance(card) for card in (*cards, *self._unwritten.values())]

    def adopt(self) -> None:
        """Once per leadership: workers without a card get one; old logs go. What one file fails with is logged, and no more."""
        known = {instance.worker for instance in self.list()}
        for pid in pids():
            env = environment(pid)
            worker = env.get("OPSITE_WORKER_ID", "")
            ticks = start_ticks(pid)
            # An engine's own children bear the same environment: the worker itself leads its session.
            if self._bears(env, worker) and worker not in known and ticks and _leads(pid):
                gpus = tuple(filter(None, env.get("CUDA_VISIBLE_DEVICES", "").split(",")))
                self._keep(_Card(worker, env.get("OPSITE_POOL", ""), pid, ticks, gpus))
        for path in self._folder.glob("*.log"):
            try:
                if time.time() - path.stat().st_mtime > KEEP_LOGS_S:
                    path.unlink(missing_ok=True)
            except OSError as error:
                log.warning("the old log %s stays: %s", path, error)

    def stop(self, ref: str, grace_s: float) -> None:
        """SIGTERM to the worker alone: it ends its engine's processes itself."""
        card = self._find(ref)
        if card is not None and self._is_ours(card):
            _signal(os.kill, card.pid, signal.SIGTERM)

    def kill(self, ref: str) -> None:
        """SIGKILL to the worker's whole session, its engine's processes included."""
        card = self._find(ref)
        if card is not None and self._is_ours(card):
            _signal(os.killpg, card.pid, signal.SIGKILL)

    def remove(self, ref: str) -> None:
        """Forget the card, and end what an engine left behind (it may hold GPU memory); the log stays for a week."""
        self._reap(ref)
        self._children.pop(ref, None)
        self._exit_codes.pop(ref, None)
        for pid in pids():
            if self._bears(environment(pid), ref):
                _signal(os.kill, pid, signal.SIGKILL)
        self._unwritten.pop(ref, None)
        self._card(ref).unlink(missing_ok=True)

    def log_tail(self, ref: str) -> str:
        """The end of the worker's log file."""
        return "\n".join(self._log_end(ref, LOG_TAIL_BYTES).splitlines()[-LOG_TAIL_LINES:])

    def peek(self, ref: str) -> Peek:
        """The same, and what /proc says of the worker's session."""
        card, log_end = self._find(ref), self._log_end(ref, PEEK_BYTES)
        if card is None or not self._is_ours(card):
            return Peek(log=log_end)
        used = session_use(card.pid)
        return Peek(log=log_end, pid=card.pid, cpu_s=used.cpu_s, memory_bytes=used.memory_bytes)

    def _log_end(self, ref: str, size: int) -> str:
        try:
            with self._log(ref).open("rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - size))
                return file.read(size).decode(errors="replace")
        except OSError:
            return ""

    def _instance(self, card: _Card) -> Instance:
        code = self._reap(card.worker)
        alive = code is None and self._is_ours(card)
        return Instance(
            ref=card.worker,
            worker=card.worker,
            pool=card.pool,
            alive=alive,
            started_at=started_at(card.ticks),
            exit_code=code,
            gpus=card.gpus,
        )

    def _reap(self, worker: str) -> int | None:
        """The exit code of a child of ours (negative: a signal's number), or None. A pid is free once it was reaped."""
        pid = self._children.get(worker)
        if pid is not None:
            try:
                done, status = os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                del self._children[worker]  # reaped by somebody else in this process
            else:
                if done:
                    del self._children[worker]
                    self._exit_codes[worker] = os.waitstatus_to_exitcode(status)
        return self._exit_codes.get(worker)

    def _is_ours(self, card: _Card) -> bool:
        """The pid still is the process of the card: same start time, same worker in its environment."""
        if card.ticks == 0 or start_ticks(card.pid) != card.ticks:
            return False
        if card.worker in self._children:
            return True  # our own child: its pid cannot be given away before we reap it
        return self._bears(settled_environment(card.pid), card.worker)

    def _bears(self, env: Mapping[str, str], worker: str) -> bool:
        """Started here as this worker. The host sees the processes of containers too: they are another runtime's."""
        marks = (env.get("OPSITE_RUNTIME"), env.get("OPSITE_STACK"), env.get("OPSITE_WORKER_ID"))
        return bool(worker) and marks == (NAME, self._stack, worker)

    def _keep(self, card: _Card) -> None:
        """By a file; where none can be written the next leader finds the process anew, and this one remembers it."""
        path = self._card(card.worker)
        draft = path.with_suffix(".draft")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(msgspec.json.encode(card))
            draft.replace(path)
        except OSError as error:
            log.warning("the card of worker %s cannot be written: %s", card.worker, error)
            self._unwritten[card.worker] = card

    def _find(self, worker: str) -> _Card | None:
        return self._unwritten.get(worker) or _read(self._card(worker))

    def _card(self, worker: str) -> Path:
        return self._folder / f"{worker}.card"

    def _log(self, worker: str) -> Path:
        return self._folder / f"{worker}.log"


def inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """The part of the orchestrator's environment that a worker gets."""
    return {
        name: value
        for name, value in environ.items()
        if name in PASSED_ON or name.lower() in PASSED_ON or name.startswith(PASSED_ON_PREFIXES)
    }


def _read(path: Path) -> _Card | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Card)
    except (OSError, msgspec.DecodeError):
        return None


def _leads(pid: int) -> bool:
    try:
        return os.getsid(pid) == pid
    except OSError:
        return False


def _signal(send: Callable[[int, int], None], pid: int, number: signal.Signals) -> None:
    try:
        send(pid, number)
    except ProcessLookupError:
        pass
