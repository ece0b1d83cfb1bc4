"""`python -m gpu_worker`: one worker process, configured by the environment, ended by a signal or by one clear line."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from typing import NoReturn

from gpu_worker.engines.registry import make_engine
from gpu_worker.failures import BadSetting, WorkerFailure
from gpu_worker.loop import WorkerLoop
from gpu_worker.phases import StartPhases, process_age_s
from gpu_worker.settings import Settings, per_worker, read_settings, variable
from taskqueue.async_client import AsyncQueue
from taskqueue.link import Link
from telemetry.logs import formatter, log_what_ends_the_process

log = logging.getLogger("gpu_worker")


def connect(settings: Settings) -> Link:
    """One connection for the process. It repeats nothing itself: a claim sent twice would claim twice."""
    try:
        return Link(settings.redis_url)
    except ValueError as error:
        raise BadSetting(f"{variable('redis_url')}: {error}") from error


def make_loop(settings: Settings, queue: AsyncQueue) -> WorkerLoop:
    """One worker of this process, with the clock of its start."""
    phases = StartPhases(interpreter_s=process_age_s())
    phases.enter("import")
    return WorkerLoop(settings=settings, queue=queue, engine=make_engine(settings), phases=phases)


async def serve(settings: Settings) -> None:
    """Run the worker, or the several simulated ones, until a signal; the first that fails ends all."""
    link = connect(settings)
    queues = [AsyncQueue(link, one.pool) for one in per_worker(settings)]
    loops = [make_loop(one, queue) for one, queue in zip(per_worker(settings), queues, strict=True)]

    def stop() -> None:
        for loop in loops:
            loop.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    runs = [asyncio.create_task(loop.run()) for loop in loops]
    try:
        await asyncio.wait(runs, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        stop()
        ended = await asyncio.gather(*runs, return_exceptions=True)
        for queue in queues:
            await queue.aclose()
        await link.aclose()
    for end in ended:
        if isinstance(end, BaseException):
            raise end


def configure_logging(level: str, form: str) -> None:
    """Logs go to stderr, one line each; libraries speak only of what is wrong."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter(form, "worker"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    log.setLevel(level.upper())
    if form == "json":
        log_what_ends_the_process()


def main() -> NoReturn:
    """Exit code 0: drained; otherwise that of the `WorkerFailure`."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))  # nothing is held yet
    code = 0
    debug, form = False, "plain"
    try:
        settings = read_settings(os.environ)
        debug, form = settings.log_level == "debug", settings.log_format
        configure_logging(settings.log_level, form)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(serve(settings))
    except WorkerFailure as failure:
        code = failure.exit_code
        _complain(str(failure), failure, debug=debug, form=form)
    except Exception as error:
        code = 1
        _complain(f"unexpected {type(error).__name__}: {error}", error, debug=debug, form=form)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # an engine thread in the middle of a long step does not hold the process back


def _complain(line: str, error: BaseException, *, debug: bool, form: str) -> None:
    """The one clear line, by which the orchestrator knows why a worker ended. As JSON it is the line's message."""
    if debug:
        log.error("traceback", exc_info=error)
    said = f"opsite-worker: error: {' '.join(line.split())}"
    if form == "json":
        log.error("%s", said)
    else:
        print(said, file=sys.stderr)


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    """The loop of uvloop where that is installed: less CPU per token; nothing depends on it."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.Loop


if __name__ == "__main__":
    main()
