"""What is hidden stays so: no list tells of a column that it does not show by a look-up that is typed into its address."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from audit.models import Entry
from orchestrator.models import Pool
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


def test_a_tenant_administrator_cannot_ask_from_where_staff_works(enter: Enter, scene: Scene) -> None:
    Entry.objects.create(actor_kind="staff", actor="amy", action="x", address="10.1.2.3", tenant_id=scene.ann.tenant.pk)
    asked = f"{AUDIT}?address=10.1.2.3"
    assert enter("tenant_administrator", scene.ann.tenant).get(asked).status_code == 400
    assert enter("viewer").get(asked).status_code == 200


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
