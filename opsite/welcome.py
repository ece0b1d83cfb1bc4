"""What `manage.py up` says once all runs: where everything is, how to sign in, and what to try next."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from django.conf import settings
from django.contrib.auth import get_user_model

from tenants.models import Tenant


def welcome(url: str, *, processes: Sequence[str]) -> Iterator[str]:
    """Lines for a terminal; `url` is where the web process listens."""
    servers = (
        f"Postgres and Redis under {settings.OPSITE_DATA_DIR}" if settings.EMBEDDED_STACK else "your Postgres and Redis"
    )
    yield f"Opsite runs: {', '.join(processes)}; {servers}"
    yield f"  console   {url}/console/{_account()}"
    yield f"  API       {url}/api/docs/"
    if first := settings.OPSITE_METRICS_PORT:
        ports = f"http://{settings.OPSITE_METRICS_HOST}:{first}/metrics"
        yield f"  metrics   {ports}, and so on to port {first + len(processes) - 1}, in the order above"
    if not Tenant.objects.exists():
        yield f"  try next  {_quickstart(url)}"
        yield "            (in a second terminal: a pool with the demo model, a tenant, an agent and a key)"
    yield "  Ctrl-C    ends everything"


def _account() -> str:
    """Who may sign in, if there is an operator with a name that one can say."""
    operator = get_user_model().objects.filter(is_superuser=True, is_staff=True, is_active=True).order_by("pk").first()
    if operator is None:
        return ""
    name = operator.get_username()
    return f"   user {name} (a new password: {_manage('changepassword', name)})"


def _quickstart(url: str) -> str:
    return _manage("quickstart", *([] if url == "http://127.0.0.1:8000" else ["--url", url]))


def _manage(*words: str) -> str:
    """The command line, as it is typed where this process was started."""
    python = Path(sys.executable)
    shown = os.path.relpath(python) if python.is_relative_to(Path.cwd()) else str(python)
    given = os.environ.get("OPSITE_DATA_DIR")
    folder = f"OPSITE_DATA_DIR={shlex.quote(given)} " if given and settings.EMBEDDED_STACK else ""
    return folder + shlex.join([shown, os.path.relpath(settings.BASE_DIR / "manage.py"), *words])
