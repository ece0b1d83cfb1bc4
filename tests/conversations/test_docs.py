"""The commands of docs/conversations.md are run, one after the other, on a service of real processes."""

from __future__ import annotations

import os
import re
import subprocess

import pytest

from agents.models import Message
from tests.conftest import ROOT
from tests.runner.conftest import Stage, stage

__all__ = ["stage"]

PAGE = (ROOT / "docs" / "conversations.md").read_text()


@pytest.mark.timeout(150)
def test_the_commands_work_together(stage: Stage) -> None:
    stage.worker("Waves.")
    stage.effects()
    script = "\n".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL))
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env={**os.environ, "URL": stage.web.url, "KEY": stage.scene.ann.key},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
    said = list(Message.objects.for_tenant(stage.scene.ann.tenant).values_list("content", flat=True))
    assert {"A line on tides.", "Waves.", "A line on ebb.", "Salt and slow."} <= set(said)
