"""docker-compose.yml as it stands, with real containers: a first answer, whatever is restarted, a new version, the end.

The images of Postgres and Redis are stand-ins (deploy/ci/standin-images.sh), unless POSTGRES_IMAGE and REDIS_IMAGE name others.
"""

from __future__ import annotations

import json
import re
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import httpx
import openai
import pytest
from docker.models.containers import Container

from gpu_worker.engines.simulated_text import whole_answer
from taskqueue.messages import ChatMessage, SamplingParams, TurnBody
from tests.conftest import ROOT
from tests.e2e.composed import Composed
from tests.e2e.console import Console
from tests.e2e.listener import Listener

pytestmark = [pytest.mark.compose, pytest.mark.timeout(400)]

CONTROL = ("web", "orchestrator", "recorder", "effects", "celery")
TOKENS = 250
STEP_S = 0.02
LEASE_S = 20
"""A worker is replaced after three of them in silence: on a machine with much else to do, that must not look like a fault."""
FLEET, BRIEF = "fleet", "brief"
"""A pool that keeps its worker for the hour, and one whose worker goes when it is idle."""
SYSTEM = "You speak as the players spoke."
"""What `manage.py quickstart` tells its agent."""


@dataclass
class Site:
    """The running service with a tenant's key."""

    service: Composed
    console: Console
    key: str
    listeners: list[Listener]

    def listener(self, about: str) -> Listener:
        """A task of some five seconds."""
        parameters = {"max_tokens": TOKENS, "ignore_eos": True}
        listener = Listener(self.service.url, self.key, {"agent": "bard", "input": about, "parameters": parameters})
        self.listeners.append(listener)
        return listener

    def speaking(self, *about: str) -> dict[str, Listener]:
        """Tasks whose text has begun to flow."""
        listeners = {words: self.listener(words) for words in about}
        self.service.until(lambda: all(one.text or one.problem for one in listeners.values()), "text flows")
        return listeners

    def worker(self) -> Container:
        """The one worker container of the pool that keeps its worker."""
        (worker,) = self.service.workers(FLEET)
        assert worker.status == "running"
        return worker


def built(script: str) -> None:
    done = subprocess.run(["bash", f"deploy/ci/{script}"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{script} failed:\n{done.stdout}{done.stderr}"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    built("control-image.sh")
    built("worker-image.sh")
    service = Composed(tmp_path_factory.mktemp("compose"), image="opsite:slim", worker_image="opsite-worker:slim")
    try:
        service.up()
        yield service
    finally:
        service.remove()


@pytest.fixture(scope="module")
def site(service: Composed) -> Iterator[Site]:
    """A member of staff, a pool made in the console, a tenant, an agent and a key: as deploy/README.md says."""
    password = secrets.token_urlsafe(16)
    given = {"USERNAME": "ops", "EMAIL": "ops@example.org", "PASSWORD": password}
    variables = [word for name, value in given.items() for word in ("--env", f"DJANGO_SUPERUSER_{name}={value}")]
    service.compose("exec", "-T", *variables, "web", "python", "manage.py", "createsuperuser", "--noinput")
    with closing(Console(service.url, user="ops", password=password)) as console:
        add_pool(console, FLEET, idle_to_zero_s=3600)
        add_pool(console, BRIEF, idle_to_zero_s=2)
        quickstart(service, pool=BRIEF, agent="guest")
        key = quickstart(service, pool=FLEET, agent="bard")
        site = Site(service, console, key, [])
        yield site
        for listener in site.listeners:
            listener.close()


def add_pool(console: Console, slug: str, *, idle_to_zero_s: int) -> None:
    console.save(
        "orchestrator/pool/add/",
        slug=slug,
        name=slug,
        engine="simulated",
        engine_args=json.dumps({"step_base_s": STEP_S}),
        runtime="docker",
        lease_s=LEASE_S,
        **{"policy-0-max_workers": 1, "policy-0-idle_to_zero_s": idle_to_zero_s},
    )


def quickstart(service: Composed, *, pool: str, agent: str) -> str:
    said = service.compose("exec", "-T", "web", "python", "manage.py", "quickstart", "--pool", pool, "--agent", agent)
    key = re.search(r"OPSITE_KEY=(\S+)", said)
    assert key is not None, said
    return key.group(1)


def undisturbed(about: str) -> str:
    messages = (ChatMessage("system", SYSTEM), ChatMessage("user", about))
    return whole_answer(TurnBody(messages=messages, params=SamplingParams(max_tokens=TOKENS, ignore_eos=True))).text


def heard_whole(site: Site, listeners: dict[str, Listener]) -> None:
    """Each stream without gap or repeat, with the undisturbed text, and recorded so."""
    site.service.until(lambda: all(one.ended for one in listeners.values()), "all streams have ended")
    for about, one in listeners.items():
        assert not one.problem
        assert one.outcome["state"] == "succeeded"
        assert one.numbers == list(range(1, len(one.numbers) + 1))
        assert one.text == undisturbed(about)
        record = site.service.until(one.record, "it is recorded")
        assert (record["state"], record["output"]) == ("succeeded", one.text)


def test_the_first_answer_comes_from_a_container_without_network(site: Site) -> None:
    pieces: list[str] = []
    seen: dict[str, Any] = {}
    with openai.OpenAI(base_url=f"{site.service.url}/v1", api_key=site.key, max_retries=0, timeout=120) as client:
        for chunk in client.chat.completions.create(
            model="guest",
            messages=[{"role": "user", "content": "Speak of the sea."}],
            max_tokens=TOKENS,
            extra_body={"ignore_eos": True},
            stream=True,
        ):
            pieces += [choice.delta.content for choice in chunk.choices if choice.delta.content]
            if pieces and not seen:
                (worker,) = site.service.workers(BRIEF)
                seen = worker.attrs
    assert "".join(pieces) == undisturbed("Speak of the sea.")
    assert len(pieces) > 1
    shut_in(seen, site.service.project)
    site.service.until(lambda: not site.service.workers(BRIEF), "the idle worker is gone")


def shut_in(attrs: dict[str, Any], project: str) -> None:
    """What compose adds to the tests of the container runtime: a volume with the socket, and a required user."""
    assert attrs["State"]["Running"]
    assert list(attrs["NetworkSettings"]["Networks"]) == ["none"]
    (mount,) = attrs["Mounts"]
    assert (mount["Name"], mount["RW"]) == (f"{project}-redis-socket", False)
    env = dict(item.partition("=")[::2] for item in attrs["Config"]["Env"])
    assert env["OPSITE_REDIS_URL"].startswith(f"unix://worker%3A{project}%3A")


def test_the_console_has_its_styles(site: Site) -> None:
    assert 'id="overview"' in site.console.page("")
    assert httpx.get(f"{site.service.url}/static/opsite/overview.js").status_code == 200


@pytest.mark.parametrize("server", ["redis", "postgres"])
def test_a_server_is_restarted(site: Site, server: str) -> None:
    listeners = site.speaking(f"a first word before {server} goes", f"a second word before {server} goes")
    worker = site.worker().id
    site.service.compose("restart", server)
    listeners["a word after that"] = site.listener("a word after that")
    heard_whole(site, listeners)
    assert site.worker().id == worker


def test_the_control_plane_dies_and_comes_back(site: Site) -> None:
    listeners = site.speaking("a word before they die", "another before they die")
    worker = site.worker().id
    restarts = {name: site.service.container(name).attrs["RestartCount"] for name in CONTROL}
    for name in CONTROL:
        # All that runs in the container: the engine sees a process that ended, as after a crash.
        site.service.compose("exec", "-T", name, "sh", "-c", "kill -9 -1", check=False)
    listeners["a word while they are dead"] = site.listener("a word while they are dead")
    heard_whole(site, listeners)
    for name in CONTROL:
        site.service.until(lambda name=name: came_back(site.service.container(name), restarts[name]), f"{name} is back")
    assert site.worker().id == worker


def came_back(container: Container, restarts: int) -> bool:
    return container.attrs["RestartCount"] > restarts and container.attrs["State"]["Running"]


def test_a_new_version_takes_over(site: Site) -> None:
    listeners = site.speaking("a word to the old version")
    worker = site.worker().id
    stay = {name: site.service.container(name).id for name in ("postgres", "redis")}
    new = site.service.renew_image()
    site.service.up()
    assert {site.service.container(name).attrs["Config"]["Image"] for name in CONTROL} == {new}
    assert {name: site.service.container(name).id for name in stay} == stay
    listeners["a word to the new version"] = site.listener("a word to the new version")
    heard_whole(site, listeners)
    assert site.worker().id == worker


def test_it_is_taken_down_and_what_was_accepted_waits(site: Site) -> None:
    service = site.service
    listeners = site.speaking("a word that is cut short")
    service.compose("stop", "orchestrator")
    assert "workers ended: 1" in service.manage("orchestrator", "stop_fleet")
    assert service.workers() == []
    listeners["a word when nobody works"] = waiting = site.listener("a word when nobody works")
    service.until(lambda: waiting.task or waiting.problem, "it is accepted")
    service.compose("down")
    volumes = {f"{service.project}{name}" for name in ("_postgres", "_redis", "-redis-socket")}
    assert service.leftovers() == volumes
    service.up()
    heard_whole(site, listeners)

    service.compose("stop", "orchestrator")
    service.manage("orchestrator", "stop_fleet")
    service.compose("down", "--volumes")
    assert service.leftovers() == set()
