"""How fast a simulated worker is: the speed model of the `simulated` engine (`gpu_worker.engines.simulated`). Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Speed:
    """A step that decodes B sequences and prefills P prompt tokens takes

        step_base_s + step_per_sequence_s * B + P / prefill_tokens_per_s   seconds.

    The defaults are that engine's: round numbers, not measurements of any GPU.
    """

    prefill_tokens_per_s: float = 20_000.0
    step_base_s: float = 0.02
    step_per_sequence_s: float = 0.0

    def step_s(self, *, sequences: int, prefilled: int) -> float:
        """How long such a step takes."""
        return self.step_base_s + self.step_per_sequence_s * sequences + prefilled / self.prefill_tokens_per_s


def speed_of(*, turn_s: float, slots: int, output_tokens: float) -> Speed:
    """A worker that gives each turn of so many tokens a slot for `turn_s` * `slots` seconds, however many it runs.

    So a turn costs a full worker `turn_s`, as was measured; what its prompt takes is part of that.
    """
    return Speed(prefill_tokens_per_s=float("inf"), step_base_s=turn_s * slots / max(1.0, output_tokens))
