"""Is a stream of the real model what its engine gives for exactly these prompt ids and streamed ids, over every take-over?

Another batch moves the last bits of a logit, so a text may lawfully leave the undisturbed one: where the random number of a
choice lies between two tokens, by a hair, the other one is taken. So the ids themselves are judged. Each must be the engine's own
choice behind the prompt and all ids before it, computed anew in one undisturbed pass, but for `HAIR` of probability; they must
end where an answer ends; and the text must be that of the ids, detokenised in one go. A token that a seam lost or gave twice puts
every later choice behind other ids, with other random numbers: it passes none of this.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from gpu_worker.detokenize import Answer
from gpu_worker.engines.fitting import fitted_prompt
from gpu_worker.engines.prompting import decoder
from gpu_worker.engines.sampling import Sampler
from gpu_worker.engines.transformers import TransformersArgs, load
from taskqueue.messages import TurnBody

HAIR = 3e-5
"""How far, in probability, a random number may lie outside of what the chosen token covers. 26,655 tokens of this model, decoded in
changing batches of 1 to 8 and taken over at random, moved no bound between two tokens by more than a seventh of it."""


class Reference:
    """The model, loaded once more, in this process: one thread, one stream at a time."""

    def __init__(self, model: Path) -> None:
        self._engine = load(str(model), TransformersArgs(device="cpu", threads=1), slots=1)
        self.tokenizer = self._engine.tokenizer

    def faults(self, body: TurnBody, ids: Sequence[int], text: str) -> list[str]:
        """All that is wrong with a whole answer: its streamed token ids, and the text that its reader has in the end."""
        if not ids:
            return ["no token of it stands in its log"]
        prompt, max_tokens, _ = fitted_prompt(self.tokenizer, body, context=self._engine.context)
        found = self._misread(body, prompt, ids, text, max_tokens=max_tokens)
        for place, outside in enumerate(self.outside(body, prompt, ids)):
            if outside > HAIR:
                found.append(
                    f"token {place} of {len(ids)} is not what the model says there, by {outside:.2g} of probability"
                )
                break  # what follows a wrong token says nothing more
        return found

    def _misread(
        self, body: TurnBody, prompt: Sequence[int], ids: Sequence[int], text: str, *, max_tokens: int
    ) -> list[str]:
        """Is the text that of the ids, and do they end as an answer does?"""
        answer = Answer(
            decode=decoder(self.tokenizer),
            prompt_ids=prompt,
            stops=body.params.stop,
            end_ids=self._engine.end_ids,
            max_tokens=max_tokens,
        )
        said = ""
        for place, token_id in enumerate(ids, 1):
            step = answer.push(token_id)
            said += step.text
            if (step.ending is None) == (place == len(ids)):
                return [f"an answer of {len(ids)} tokens ends at token {place}" if step.ending else "it ends too early"]
        return [] if said == text else [f"its text is not that of its {len(ids)} tokens"]

    @torch.inference_mode()
    def outside(self, body: TurnBody, prompt: Sequence[int], ids: Sequence[int]) -> list[float]:
        """For each id, how far its random number lies outside of the probabilities that the token covers; 0 is within."""
        sampler = Sampler.of(body.params, turn="")
        if sampler.is_greedy or sampler.is_filtered or body.params.seed is None:
            raise ValueError("a reference needs a seed, a temperature, and the whole vocabulary")
        tokens = torch.tensor([[*prompt, *ids[:-1]]])
        logits = self._engine.batch.model(input_ids=tokens, use_cache=False).logits[0, len(prompt) - 1 :]
        reached = (logits.double() / sampler.temperature).softmax(dim=-1).cumsum(dim=-1)
        far = []
        for place, token_id in enumerate(ids):
            row, draw = reached[place], sampler.draw(place)
            floor = float(row[token_id - 1]) if token_id else 0.0
            far.append(max(floor - draw, draw - float(row[token_id]), 0.0))
        return far
