"""Measures how readable the demo model's answers are, for its card and its test.

python -m models.measure_demo --answers 64
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from models.corpus import CORPUS, words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FOLDER = Path(__file__).parent / "opsite-verse"

PROMPTS = (
    "Write a verse about love and war",
    "Speak as ROMEO about the moon",
    "Write a scene about the king and his crown.",
    "A dialogue of GLOUCESTER and LADY ANNE.",
    "What is honour?",
    "Hello",
    "Summarise the customer's complaint in two sentences.",
    "Continue: The night is dark, and all the stars are gone,",
)
"""What a visitor may ask; some of it has nothing to do with plays."""


@dataclass(frozen=True)
class Answer:
    """One answer: its prompt, its text, its length in tokens, and whether it ended by itself."""

    prompt: str
    text: str
    tokens: int
    ended: bool

    @property
    def known_words(self) -> float:
        """The share of its words that stand in the corpus; 0 for an answer without words."""
        spoken = words(self.text)
        return sum(word in _corpus_words() for word in spoken) / len(spoken) if spoken else 0.0


_known: set[str] = set()


def _corpus_words() -> set[str]:
    if not _known:
        _known.update(words(CORPUS.read_text(encoding="utf-8")))
    return _known


class DemoModel:
    """The folder, loaded as its users load it."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self.model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)

    def answer(self, prompts: Sequence[str], *, limit: int, temperature: float, seed: int = 0) -> list[Answer]:
        """Answer all prompts in one batch of at most `limit` new tokens; temperature 0 is greedy."""
        self.tokenizer.padding_side = "left"
        chats = [[{"role": "user", "content": prompt}] for prompt in prompts]
        inputs = self.tokenizer.apply_chat_template(
            chats, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
        )
        torch.manual_seed(seed)
        how = {"do_sample": True, "temperature": temperature, "top_p": 0.95} if temperature else {"do_sample": False}
        rows = self.generate(inputs, max_new_tokens=limit, **how)
        end = self.tokenizer.eos_token_id
        answers = []
        for prompt, row in zip(prompts, rows, strict=True):
            ids = row[: row.index(end)] if end in row else row
            text = str(self.tokenizer.decode(ids))
            answers.append(Answer(prompt=prompt, text=text, tokens=len(ids), ended=end in row))
        return answers

    def generate(self, inputs: Mapping[str, torch.Tensor], **how: object) -> list[list[int]]:
        """The new token ids of each row."""
        with torch.inference_mode():
            output = self.model.generate(**inputs, **how)
        rows: list[list[int]] = output[:, inputs["input_ids"].shape[1] :].tolist()
        return rows


def main() -> None:
    """Print the answers and the figures of the card."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--answers", type=int, default=64, help="how many to sample (default 64)")
    parser.add_argument("--limit", type=int, default=1024, help="tokens in one answer (default 1024)")
    parser.add_argument("--temperature", type=float, default=0.8)
    options = parser.parse_args()
    prompts = [PROMPTS[number % len(PROMPTS)] for number in range(options.answers)]
    model = DemoModel(options.folder)
    answers = model.answer(prompts, limit=options.limit, temperature=options.temperature)
    for answer in answers[: len(PROMPTS)]:
        print(f"--- {answer.prompt}\n{answer.text}\n")
    lengths = sorted(answer.tokens for answer in answers)
    print(f"known words: {sum(answer.known_words for answer in answers) / len(answers):.1%}")
    print(f"lowest share of known words: {min(answer.known_words for answer in answers):.1%}")
    print(f"ended by themselves: {sum(answer.ended for answer in answers)} of {len(answers)}")
    print(f"tokens: median {lengths[len(lengths) // 2]}, shortest {lengths[0]}, longest {lengths[-1]}")
    greedy = model.answer(PROMPTS, limit=options.limit, temperature=0.0)
    print(f"greedy answers that ended by themselves: {sum(answer.ended for answer in greedy)} of {len(greedy)}")


if __name__ == "__main__":
    main()
