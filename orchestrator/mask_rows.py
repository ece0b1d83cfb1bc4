"""What hides the secrets of the workers that live, by their revisions: these never change, so each is read once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from uuid import UUID

from orchestrator.masking import Mask, mask_of
from orchestrator.models import PoolRevision, Worker


class Masks:
    """Those of the last rows that were asked for."""

    def __init__(self) -> None:
        self._known: dict[UUID, Mask] = {}

    def of(self, rows: Iterable[Worker]) -> Mapping[UUID, Mask]:
        """By revision: one query where there are new ones, else none."""
        wanted = {row.revision_id for row in rows}
        self._known = {revision: mask for revision, mask in self._known.items() if revision in wanted}
        if new := wanted - self._known.keys():
            found = PoolRevision.objects.filter(pk__in=new).values_list("pk", "env", "engine_args")
            self._known |= {revision: mask_of(env, arguments) for revision, env, arguments in found}
        return dict(self._known)
