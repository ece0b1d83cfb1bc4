"""What a pool's work costs, from a moment on."""

from __future__ import annotations

from typing import Any, ClassVar

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q

from tenants.identifiers import new_id


def _amount(help_text: str) -> models.DecimalField[Any, Any]:
    return models.DecimalField(
        max_digits=14, decimal_places=6, default=0, validators=[MinValueValidator(0)], help_text=help_text
    )


class Price(models.Model):
    """A pool's prices, until the next one begins. One that is in force is never changed: a trigger refuses it."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    pool = models.ForeignKey("orchestrator.Pool", on_delete=models.PROTECT, related_name="prices")
    valid_from = models.DateTimeField(
        help_text="Tokens: of turns that end from then on. GPU-seconds: of hours that begin from then on."
    )
    input = _amount("Per million prompt tokens that were read.")
    cached_input = _amount("Per million prompt tokens out of the prefix cache.")
    output = _amount("Per million completion tokens.")
    gpu_second = _amount("Per second of one GPU, as the GPU bill charges it (of a pool without GPUs: of one worker).")
    created_by = models.CharField(max_length=200, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["pool", "-valid_from"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["pool", "valid_from"], name="price_one_at_a_time"),
            models.CheckConstraint(
                condition=Q(input__gte=0, cached_input__gte=0, output__gte=0, gpu_second__gte=0),
                name="price_not_negative",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pool} from {self.valid_from:%Y-%m-%d %H:%M}"
