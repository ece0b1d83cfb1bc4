"""What staff writes on a pool's page: its policy, and a size for a time."""

from __future__ import annotations

import hashlib
import json
from typing import Any, ClassVar

from django import forms

from orchestrator.manual_rows import MOST_WORKERS
from orchestrator.models import Pool, ScalingPolicy
from orchestrator.steering import LONGEST_MIN

FIELDS = (
    "kind",
    "min_workers",
    "max_workers",
    "standby_workers",
    "wait_bound_s",
    "wait_share",
    "waiting_per_worker",
    "up_cooldown_s",
    "down_cooldown_s",
    "idle_to_zero_s",
    "gpu_hours_per_day",
    "time_zone",
    "schedule",
)


class PolicyForm(forms.ModelForm[ScalingPolicy]):
    """The pool's policy. `seen` is the version that the form was filled from: another one's change is not written over."""

    seen = forms.CharField(widget=forms.HiddenInput)

    class Meta:
        model = ScalingPolicy
        fields = FIELDS
        widgets: ClassVar = {"schedule": forms.Textarea(attrs={"rows": 3, "spellcheck": "false"})}

    def __init__(self, pool: Pool, data: Any = None, *, stored: ScalingPolicy | None = None) -> None:
        policy = stored or policy_of(pool)
        self.version = version_of(policy)
        super().__init__(data, instance=policy, initial={"seen": self.version})

    @property
    def is_stale(self) -> bool:
        """Whether the policy is another than the one that was shown."""
        return self.data.get("seen") != self.version


class SizeForm(forms.Form):
    """A size for a time."""

    workers = forms.IntegerField(label="Workers", min_value=0, max_value=MOST_WORKERS, initial=1)
    minutes = forms.IntegerField(label="For minutes", min_value=1, max_value=LONGEST_MIN, initial=30)


def policy_of(pool: Pool) -> ScalingPolicy:
    """The pool's policy, or the defaults that it goes by without one."""
    row: ScalingPolicy | None = getattr(pool, "policy", None)
    return ScalingPolicy(pool=pool) if row is None else row


def version_of(policy: ScalingPolicy) -> str:
    """The name of all that a policy says."""
    said = json.dumps({name: getattr(policy, name) for name in FIELDS}, sort_keys=True, default=str)
    return hashlib.sha256(said.encode()).hexdigest()[:16]
