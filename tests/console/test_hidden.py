"""What is hidden stays so: no list tells of a column that it does not show by a look-up that is typed into its address."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from audit.models import Entry
from orchestrator import records
from orchestrator.models import Pool, PoolRevision, Rollout
from orchestrator.revisions import note_edit
from tests.console.conftest import Enter
from tests.scene import Scene

POOLS, AUDIT = "/console/orchestrator/pool/", "/console/audit/entry/"
TOKEN = "hf_sesame-street"


@pytest.fixture
def pool(scene: Scene) -> Pool:
    Pool.objects.filter(pk=scene.pool.pk).update(env={"HF_TOKEN": TOKEN, "LANG": "C"})
    return Pool.objects.get(pk=scene.pool.pk)


@pytest.mark.parametrize(
    "url",
    [
        f"{POOLS}?env__icontains=hf_ses",
        "/console/tenants/apikey/?digest__startswith=0",
        "/console/tenants/secret/?ciphertext__startswith=g",
        "/console/webhooks/endpoint/?secret__startswith=g",
        "/console/agents/mcpserver/?headers__icontains=Bearer",
        "/console/agents/tool/?request__headers__icontains=Bearer",
    ],
)
def test_a_column_that_a_list_does_not_show_cannot_be_asked_for(enter: Enter, pool: Pool, url: str) -> None:
    assert enter("viewer").get(url).status_code == 400


def test_nor_can_a_password_s_digest(operator: Client) -> None:
    assert User.objects.exists()
    assert operator.get("/console/auth/user/?password__startswith=p").status_code == 400


def test_only_operators_can_ask_from_where_staff_works(enter: Enter, operator: Client, scene: Scene) -> None:
    Entry.objects.create(actor_kind="staff", actor="amy", action="x", address="10.1.2.3", tenant_id=scene.ann.tenant.pk)
    asked = f"{AUDIT}?address=10.1.2.3"
    assert enter("tenant_administrator", scene.ann.tenant).get(asked).status_code == 400
    assert enter("viewer").get(asked).status_code == 400
    assert operator.get(asked).status_code == 200


def test_what_a_list_shows_can_be_asked_for(enter: Enter, scene: Scene) -> None:
    viewer = enter("viewer")
    for url in (
        f"{POOLS}?slug__startswith=pool&engine__exact=simulated&is_paused__exact=0",
        f"/console/agents/task/?state__exact=failed&pool__id__exact={scene.pool.pk}&created_at__within=1h",
        f"/console/agents/task/?tenant__id__exact={scene.ann.tenant.pk}&dead_letter=left",
        f"/console/orchestrator/worker/?pool__id__exact={scene.pool.pk}",
        f"{AUDIT}?object_kind=orchestrator.pool&object_id={scene.pool.pk}&actor=amy",
    ):
        answer = viewer.get(url)
        assert answer.status_code == 200, (url, answer.status_code)


def test_values_of_the_environment_are_for_who_may_change_them(
    enter: Enter, operator: Client, everything_of: dict[str, str]
) -> None:
    viewer = enter("viewer")
    for name, url in everything_of.items():
        page = viewer.get(url).content.decode()
        assert TOKEN not in page, name
        assert ("HF_TOKEN" in page) == (name in ("pool", "revision", "live worker")), name
        assert (TOKEN in operator.get(url).content.decode()) == (name == "pool"), name


@pytest.fixture
def everything_of(pool: Pool) -> dict[str, str]:
    """The pages of a pool with a secret, which its worker has told."""
    now, said = timezone.now(), f"bad token {TOKEN}"
    note_edit(pool.pk, now=now)
    revision = PoolRevision.objects.get()
    worker = records.new_worker(pool, revision, reason="Work waits.", now=now.timestamp())
    records.end(worker, state="failed", now=now.timestamp(), exit_code=1, error=said, log_tail=said)
    Rollout.objects.update(log_tail=worker.log_tail)
    return {
        "pool": f"{POOLS}{pool.pk}/change/",
        "revision": f"/console/orchestrator/poolrevision/{revision.pk}/change/",
        "roll-out": f"/console/orchestrator/rollout/{Rollout.objects.get().pk}/change/",
        "worker": f"/console/orchestrator/worker/{worker.pk}/change/",
        "live worker": f"/console/workers/{worker.pk}/",
        "workers": "/console/orchestrator/worker/",
    }
