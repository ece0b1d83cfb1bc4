"""A killed worker takes its engine's child processes with it."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest

from tests.gpu_worker.conftest import ROOT, until

PARENT = """
import multiprocessing, threading, time
from gpu_worker.engines.leash import leash_children

leash_children()

def start():
    child = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(1000,), daemon=True)
    child.start()
    print(child.pid, flush=True)
    time.sleep(1000)

thread = threading.Thread(target=start)
thread.start()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
async def test_children_die_with_a_killed_parent() -> None:
    parent = subprocess.Popen(  # noqa: ASYNC220 - it is waited for below
        [sys.executable, "-c", PARENT], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    await until(lambda: child.status() == psutil.STATUS_SLEEPING and child.num_threads() == 1)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    await until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
