"""Which GPUs each worker holds, by names that stay: its row's word, told more of by its runtime and by the inventory.

A row is written before its worker is started and says what it was given. Where that was an index, since NVML was silent or the row
is older than this rule, the row is brought to the uuid as soon as that is known: indices move, and a restart must not read it anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from orchestrator import records
from orchestrator.fleet import Sight
from orchestrator.models import Worker
from orchestrator.placement.identity import UNKNOWN, settled
from orchestrator.runtimes import Instance


def gpus_of(row: Worker, instance: Instance | None, names: Mapping[str, str]) -> tuple[str, ...]:
    """The identities of a worker's GPUs. Its runtime is believed where the row does not know them."""
    if instance is not None and (not row.gpus or UNKNOWN in row.gpus):
        return settled(instance.gpus, names)
    return settled([str(name) for name in row.gpus], names)


def write_down(rows: Iterable[Worker], sight: Sight, names: Mapping[str, str]) -> None:
    """Bring live rows to what is known of their GPUs now; most need no change, ever."""
    for row in rows:
        gpus = list(gpus_of(row, sight.instances.get(str(row.pk)), names))
        if gpus != row.gpus:
            records.change(row, gpus=gpus)
