"""The page of a task: what it shows of each kind of task, to whom, and at what price."""

from __future__ import annotations

from django.urls import reverse

from tests.console.conftest import Staff
from tests.scene import Scene


def test_a_queued_task(staff: Staff, scene: Scene) -> None:
    task = scene.ann.task()
    page = staff("operator").get(reverse("console:task", args=[task.pk]))
    assert page.status_code == 200, page.content.decode()
