"""What Python's full garbage collection has to walk in a process that serves: nothing else runs meanwhile, no stream moves."""

from __future__ import annotations

import subprocess
import sys

from django.conf import settings

PROGRAM = """
import gc, time
import opsite.asgi
left, kept = len(gc.get_objects()), gc.get_freeze_count()
begun = time.perf_counter(); gc.collect(); frozen_s = time.perf_counter() - begun
gc.unfreeze()
begun = time.perf_counter(); gc.collect(); whole_s = time.perf_counter() - begun
print(left, kept, frozen_s, whole_s)
"""


def test_a_web_process_does_not_walk_what_it_has_loaded() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=settings.BASE_DIR, capture_output=True, text=True, check=True, timeout=60
    )
    left, kept, frozen_s, whole_s = (float(word) for word in ran.stdout.split()[-4:])
    assert kept > 100_000
    assert left < kept / 20
    assert frozen_s < whole_s / 5
