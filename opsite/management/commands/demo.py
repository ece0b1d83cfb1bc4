"""`manage.py demo`: the service with two tenants and a load, watched in the terminal; ends by itself, loudly if a task is lost."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import redis
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection
from django.utils import timezone
from rich.console import Console
from rich.live import Live

from agents.models import Task
from opsite.demo import scene, view
from opsite.demo.load import Load
from opsite.service import Service, prepare
from orchestrator.models import ScalingDecision, Worker
from taskqueue.sync_client import Queue

FLEET_GONE_TIMEOUT_S = 90.0
LOOK_EVERY_S = 0.25
LINE_EVERY_S = 2.0


class Command(BaseCommand):
    """Stage, load, watch, judge."""

    _made: ClassVar[dict[str, int]] = {}  # tokens by worker, also of those that have gone

    help = "Show the whole service at work: a queue grows, workers start, text streams, workers stop."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tasks", type=int, default=48)
        parser.add_argument("--port", type=int, default=8765)
        parser.add_argument("--slots", type=int, default=8, help="turns that a worker runs at once")
        parser.add_argument("--max-workers", type=int, default=2)

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.EMBEDDED_STACK is None or not settings.EMBEDDED_STACK.owned:
            raise CommandError("the demo needs a data folder of its own: run `make demo`, once at a time")
        console = Console()
        log = (Path(settings.OPSITE_DATA_DIR) / "demo.log").open("a", buffering=1)
        console.print(f"[bold]opsite demo[/]: Postgres and Redis are up; the service's log goes to {log.name}")
        call_command("migrate", verbosity=0)
        with (
            connection.cursor() as cursor
        ):  # a demo of its own forgets even what guards keep: the audit log of the last one
            cursor.execute("SET session_replication_role = replica")
            call_command("flush", interactive=False, verbosity=0)
            cursor.execute("SET session_replication_role = origin")
        prepare(console.print)
        redis.Redis.from_url(settings.REDIS_URL).flushall()
        actors = scene.build(idle_to_zero_s=4.0, slots=options["slots"], max_workers=options["max_workers"])
        service = Service(host="127.0.0.1", port=options["port"], say=lambda line: print(line, file=log), celery=False)
        thread = service.run_beside()
        try:
            service.wait_ready()
            console.print(
                f"the API listens at {service.url}; no worker runs yet. {options['tasks']} tasks of two tenants come in now"
            )
            load = Load(service.url, actors, tasks=options["tasks"])
            began = time.monotonic()
            failure = self._watch(console, load)
            wall_s = time.monotonic() - began
        finally:
            service.stop()
            thread.join()
        view.closing(console, load.watched, self._decisions(), wall_s)
        self._judge(console, load, failure, options["tasks"])

    def _watch(self, console: Console, load: Load) -> BaseException | None:
        """Run the load beside the view, until its tasks have ended and the fleet is at zero again."""
        failure: list[BaseException] = []

        def run() -> None:
            try:
                asyncio.run(load.run())
            except BaseException as error:
                failure.append(error)

        loading = threading.Thread(target=run, name="load", daemon=True)
        loading.start()
        rate, gone_at, said_at = view.Rate(), 0.0, 0.0
        queue = Queue(settings.REDIS_URL, scene.POOL)
        with Live(console=console, auto_refresh=False, transient=True) as live:
            while loading.is_alive() or Worker.objects.filter(state__in=Worker.LIVE).exists():
                if not loading.is_alive():
                    gone_at = gone_at or time.monotonic() + FLEET_GONE_TIMEOUT_S
                    if time.monotonic() > gone_at:
                        return TimeoutError("the fleet did not go back to zero")
                moment, tokens = self._moment(queue)
                speed = rate.add(tokens)
                if console.is_terminal:
                    live.update(view.live(moment, load.watched, speed), refresh=True)
                elif time.monotonic() - said_at >= LINE_EVERY_S:
                    console.print(view.line(moment, load.watched, speed), highlight=False, soft_wrap=True)
                    said_at = time.monotonic()
                time.sleep(LOOK_EVERY_S)
        queue.close()
        return failure[0] if failure else None

    def _moment(self, queue: Queue) -> tuple[view.Moment, int]:
        signals = queue.signals()
        workers = Counter(Worker.objects.filter(state__in=Worker.LIVE).order_by().values_list("state", flat=True))
        decision = ScalingDecision.objects.first()
        moment = view.Moment(signals.waiting, signals.running, dict(workers), decision.reason if decision else "")
        self._made.update({worker.worker: worker.tokens_total for worker in signals.workers})
        return moment, sum(self._made.values())

    def _decisions(self) -> list[tuple[str, int, int, str]]:
        return [
            (timezone.localtime(d.at).strftime("%H:%M:%S"), d.current, d.desired, d.reason)
            for d in ScalingDecision.objects.order_by("at")
        ]

    def _judge(self, console: Console, load: Load, failure: BaseException | None, wanted: int) -> None:
        faults = [f"{w.tenant} task {w.task or '(not accepted)'}: {fault}" for w in load.watched for fault in w.faults]
        faults += [
            f"{w.tenant} task {w.task or '(not accepted)'}: no outcome" for w in load.watched if not w.finished_at
        ]
        if failure is not None:
            faults.append(f"the load broke off: {failure!r}")
        recorded = Task.objects.across_tenants().filter(state="succeeded").count()
        if recorded != wanted:
            faults.append(f"{wanted} tasks were wanted, {recorded} are recorded as succeeded")
        if faults:
            for fault in faults[:20]:
                console.print(f"[bold red]FAULT[/] {fault}")
            raise CommandError(f"the demo failed with {len(faults)} faults; see demo.log in the data folder")
        console.print(
            f"[bold green]all {wanted} tasks ended once, as succeeded; no stream had a gap or a repeat; the fleet is at zero[/]"
        )
