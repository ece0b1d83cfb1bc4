"""What others may ask of the fleet as a whole."""

from __future__ import annotations

import logging
import time
from contextlib import closing

from django.utils import timezone

from orchestrator.local import access_of_settings, runtimes_of_settings
from orchestrator.models import Pool, Worker
from orchestrator.runtimes import Instance, Runtime, RuntimeUnavailable

log = logging.getLogger(__name__)

LOOK_AGAIN_S = 0.1


def stop_fleet(*, grace_s: float = 5.0) -> int:
    """End all workers of this stack: they hand over, and are killed after `grace_s`. Returns how many there were.

    For the end of the whole stack, when no orchestrator runs any more (it would start them again).
    """
    runtimes = runtimes_of_settings()
    used = {Pool.Runtime.PROCESS.value, *Worker.objects.filter(state__in=Worker.LIVE).values_list("runtime", flat=True)}
    used |= set(Pool.objects.values_list("runtime", flat=True))
    stopped = sum(_stop_all(runtimes[name], grace_s=grace_s) for name in sorted(used))
    with closing(access_of_settings()) as access:
        access.tend({})
    now = timezone.now()
    Worker.objects.filter(state__in=Worker.LIVE).update(
        state=Worker.State.STOPPED, stopped_at=now, end_reason="The whole stack was stopped."
    )
    return stopped


def _stop_all(runtime: Runtime, *, grace_s: float) -> int:
    try:
        found = runtime.list()
        living = [instance for instance in found if instance.alive]
        for instance in living:
            runtime.stop(instance.ref, grace_s)
        left = _await_end(runtime, living, timeout_s=grace_s)
        for instance in left:
            log.warning("worker %s did not end in %.0f s and is killed", instance.worker, grace_s)
            runtime.kill(instance.ref)
        _await_end(runtime, left, timeout_s=grace_s)
        for instance in found:
            runtime.remove(instance.ref)
    except RuntimeUnavailable as error:
        log.warning("%s", error)
        return 0
    return len(living)


def _await_end(runtime: Runtime, instances: list[Instance], *, timeout_s: float) -> list[Instance]:
    """Those that still live after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    refs = {instance.ref for instance in instances}
    while True:
        left = [instance for instance in runtime.list() if instance.alive and instance.ref in refs] if refs else []
        if not left or time.monotonic() >= deadline:
            return left
        time.sleep(LOOK_AGAIN_S)
