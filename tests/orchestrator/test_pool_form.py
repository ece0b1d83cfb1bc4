"""A pool as staff edits it in a form."""

from __future__ import annotations

import pytest
from django.forms import modelform_factory

from orchestrator.models import Pool
from tests.orchestrator.conftest import Site


@pytest.mark.parametrize(("field", "empty"), [("env", {}), ("engine_args", {}), ("default_params", {}), ("mounts", [])])
@pytest.mark.parametrize("sent", ["", "null", "[]", "{}"])
def test_an_emptied_field_is_an_empty_one(site: Site, field: str, empty: object, sent: str) -> None:
    pool = site.pool()
    form = modelform_factory(Pool, fields=[field])(data={field: sent}, instance=pool)
    assert form.is_valid()
    form.save()
    assert getattr(Pool.objects.get(pk=pool.pk), field) == empty
