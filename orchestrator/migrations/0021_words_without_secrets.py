"""What workers said before their words were masked where they are stored: workers, roll-outs, decisions, what could not be fetched."""

from __future__ import annotations

from typing import Any

from django.db import migrations, models
from django.db.models import Q
from django.db.models.functions import Cast

from orchestrator.masking import Mask, mask_of

CHUNK_ROWS = 500


def mask(apps: Any, schema_editor: Any) -> None:
    settings: dict[Any, list[Any]] = {}
    masks: dict[Any, Mask] = {}
    for revision in apps.get_model("orchestrator", "PoolRevision").objects.only("pool", "env", "engine_args"):
        masks[revision.pk] = mask_of(revision.env, revision.engine_args)
        settings.setdefault(revision.pool_id, []).extend((revision.env, revision.engine_args))
    of_pool = {pool: mask_of(*those) for pool, those in settings.items()}

    workers = apps.get_model("orchestrator", "Worker").objects.exclude(error="", log_tail="")
    _rewrite(workers.only("revision", "error", "log_tail"), ("error", "log_tail"), lambda row: masks[row.revision_id])
    rollouts = apps.get_model("orchestrator", "Rollout").objects.only("pool", "reason", "log_tail")
    _rewrite(rollouts, ("reason", "log_tail"), lambda row: of_pool[row.pool_id])
    everybodys = mask_of(*(one for those in settings.values() for one in those))
    stock = apps.get_model("orchestrator", "StockItem").objects.exclude(error="").only("error")
    _rewrite(stock, ("error",), lambda row: everybodys)
    decisions = apps.get_model("orchestrator", "ScalingDecision").objects.only("reason", "signals")
    for pool, its in of_pool.items():
        told = decisions.filter(pool=pool).annotate(told=Cast("signals", models.TextField()))
        for secret in its.secrets:
            holding = told.filter(Q(reason__contains=secret) | Q(told__contains=secret))
            _rewrite(holding, ("reason", "signals"), lambda row, its=its: its)


def _rewrite(rows: Any, names: tuple[str, ...], mask_for: Any) -> None:
    changed = []
    for row in rows.iterator(chunk_size=CHUNK_ROWS):
        if _is_hidden(row, names, mask_for(row)):
            changed.append(row)
        if len(changed) == CHUNK_ROWS:
            rows.model.objects.bulk_update(changed, names)
            changed = []
    rows.model.objects.bulk_update(changed, names)


def _is_hidden(row: Any, names: tuple[str, ...], its: Mask) -> bool:
    """Hide it; whether that changed anything."""
    before = [getattr(row, name) for name in names]
    after = [_hidden(value, its) for value in before]
    for name, value in zip(names, after, strict=True):
        setattr(row, name, value)
    return after != before


def _hidden(value: Any, its: Mask) -> Any:
    if isinstance(value, dict):
        return {name: _hidden(one, its) for name, one in value.items()}
    if isinstance(value, list):
        return [_hidden(one, its) for one in value]
    return its.hide(value) if isinstance(value, str) else value


class Migration(migrations.Migration):
    dependencies = [("orchestrator", "0020_worker_wishes")]

    operations = [migrations.RunPython(mask, migrations.RunPython.noop)]
