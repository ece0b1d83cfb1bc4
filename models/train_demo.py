"""Trains the demo model from the plays, so that anybody can make the shipped folder again.

    python -m models.train_demo

The result is a folder that `transformers` and vLLM load: a Llama of 4.2 million parameters in bfloat16 with a
byte-level BPE tokenizer and a chat template. Every evaluation that is the best so far rewrites the folder, so that a
run can be stopped at any time, and a run that overfits keeps its best state. With one seed and one number of threads
on one machine, the result is the same each time.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM
from transformers.utils import logging

from models.batches import IGNORE, Document, Packer, Source, documents
from models.chat_pairs import Topics
from models.corpus import CORPUS, as_text, read_speeches, split
from models.tokenizer import END, PAD, POSITIONS, SPECIAL, VOCABULARY, save_tokenizer, train_tokenizer

BLOCKS = ((0.70, 512), (0.92, 1024), (1.00, 2048))
"""Up to which share of the run the blocks have which length: short ones are cheaper, long ones teach far positions."""

WARM_UP_STEPS = 40
BETAS = (0.9, 0.98)
WEIGHT_DECAY = 0.1
CLIP = 1.0


@dataclass(frozen=True)
class Settings:
    """What the command line decides; `tokens` is the size of one step, `rate` the highest learning rate."""

    folder: Path
    steps: int
    tokens: int
    seed: int
    rate: float
    dropout: float
    every: int
    start_from: Path | None


@dataclass(frozen=True)
class Losses:
    """Mean loss on the held-out passages, in nats per token; `plain_per_character` in nats per character."""

    plain: float
    chat: float
    plain_per_character: float

    @property
    def both(self) -> float:
        return (self.plain + self.chat) / 2


def demo_config() -> LlamaConfig:
    """The shape of the model. Heads of 64 and no special options: every engine has kernels for it."""
    return LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=704,
        num_hidden_layers=5,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        max_position_embeddings=POSITIONS,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=SPECIAL.index(END),
        pad_token_id=SPECIAL.index(PAD),
    )


def add_dropout(model: nn.Module, rate: float) -> None:
    """Drop outputs of the embedding and of each attention and MLP block while training; Llama itself has no dropout."""

    def drop(module: nn.Module, _inputs: object, output: torch.Tensor) -> torch.Tensor:
        return functional.dropout(output, rate, training=module.training)

    for name, module in model.named_modules():
        if name.endswith(("embed_tokens", "o_proj", "down_proj")):
            module.register_forward_hook(drop)


def make_optimizers(model: nn.Module, rate: float) -> tuple[torch.optim.Optimizer, ...]:
    """Muon for the matrices inside the blocks, AdamW for the embedding and the gains of the norms.

    Muon (Jordan et al., 2024) makes each update of a matrix orthogonal; scaled to AdamW's size (Liu et al., "Muon is
    Scalable for LLM Training", 2025) it takes rates like AdamW's. It is here because the steps of this run are few:
    after 120 of 4096 tokens the held-out loss was 4.45 nats per token (rate 0.003) against 5.08 with AdamW alone
    (0.002); other rates were not tried.
    """
    inner = [weight for name, weight in model.named_parameters() if weight.dim() > 1 and "embed_tokens" not in name]
    outer = [weight for name, weight in model.named_parameters() if "embed_tokens" in name]
    gains = [weight for weight in model.parameters() if weight.dim() == 1]
    groups = [{"params": outer, "weight_decay": WEIGHT_DECAY}, {"params": gains, "weight_decay": 0.0}]
    return (
        torch.optim.Muon(inner, lr=rate, weight_decay=WEIGHT_DECAY, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(groups, lr=rate, betas=BETAS),
    )


def rate_at(*, step: int, steps: int, peak: float) -> float:
    """Linear warm-up, then a cosine down to a twentieth of the peak."""
    warm_up = min(WARM_UP_STEPS, steps // 8)
    if step < warm_up:
        return peak * (step + 1) / warm_up
    done = (step - warm_up) / max(1, steps - warm_up)
    return peak * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * done)))


def block_length(*, step: int, steps: int) -> int:
    """Tokens in a row of the batch at this step."""
    return next(length for share, length in BLOCKS if step < share * steps or share == 1.0)


def loss_of(model: LlamaForCausalLM, inputs: torch.Tensor, labels: torch.Tensor, reduction: str) -> torch.Tensor:
    """Cross entropy of the labels that count. The model's arithmetic is bfloat16 with float32 weights: half the time."""
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(input_ids=inputs, use_cache=False).logits.float()
    return functional.cross_entropy(
        logits.reshape(-1, VOCABULARY), labels.reshape(-1), ignore_index=IGNORE, reduction=reduction
    )


@torch.no_grad()
def evaluate(model: LlamaForCausalLM, plain: list[Document], chats: list[Document], characters: int) -> Losses:
    """Losses on held-out plays and on chats made of them, always the same ones."""
    model.train(False)

    def mean_and_sum(held_out: list[Document]) -> tuple[float, float]:
        total = 0.0
        count = 0
        for ids, labels in held_out:
            for at in range(0, len(ids) - 1, 1024):
                inputs = torch.tensor([ids[at : at + 1025][:-1]])
                targets = torch.tensor([labels[at : at + 1025][1:]])
                total += loss_of(model, inputs, targets, "sum").item()
                count += int((targets != IGNORE).sum())
        return total / count, total

    plain_mean, plain_sum = mean_and_sum(plain)
    chat_mean, _ = mean_and_sum(chats)
    model.train()
    return Losses(plain=plain_mean, chat=chat_mean, plain_per_character=plain_sum / characters)


def save_model(model: LlamaForCausalLM, folder: Path) -> None:
    """Write weights in bfloat16 and the two configurations; the model in memory stays as it is."""
    config = demo_config()
    config.dtype = torch.bfloat16
    copy = LlamaForCausalLM(config).bfloat16()
    copy.load_state_dict(model.state_dict())
    copy.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=True,
        temperature=0.8,
        top_p=0.95,
        eos_token_id=SPECIAL.index(END),
        pad_token_id=SPECIAL.index(PAD),
    )
    copy.save_pretrained(folder)


def train(settings: Settings, say: Callable[[str], None]) -> Losses:
    """Train and leave the best state in the folder. Returns its losses."""
    torch.manual_seed(settings.seed)
    rng = random.Random(settings.seed)
    plays = split(read_speeches(CORPUS))
    tokenizer = train_tokenizer(as_text(scene) for scene in plays.train)
    save_tokenizer(tokenizer, settings.folder)
    topics = Topics.of(plays.train)
    packer = Packer(documents(Source(tokenizer, plays.train, topics), rng))
    held = Source(tokenizer, plays.held_out, topics)
    held_plain = [(ids, ids) for ids in held.plain()]
    held_rng = random.Random(0)
    held_chats = [held.chat(held_rng) for _ in range(120)]
    characters = sum(len(as_text(scene)) for scene in plays.held_out)

    model = LlamaForCausalLM(demo_config())
    if settings.start_from:
        model.load_state_dict(LlamaForCausalLM.from_pretrained(settings.start_from, dtype=torch.float32).state_dict())
    add_dropout(model, settings.dropout)
    model.train()
    say(f"{sum(weight.numel() for weight in model.parameters()):,} parameters")
    optimizers = make_optimizers(model, settings.rate)
    best: Losses | None = None
    began = time.monotonic()
    for step in range(settings.steps):
        length = block_length(step=step, steps=settings.steps)
        inputs, labels = packer.batch(rows=settings.tokens // length, length=length)
        for group in (group for optimizer in optimizers for group in optimizer.param_groups):
            group["lr"] = rate_at(step=step, steps=settings.steps, peak=settings.rate)
        loss = loss_of(model, inputs, labels, "mean")
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        if step % 10 == 0:
            say(f"step {step} loss {loss.item():.3f} after {time.monotonic() - began:.0f} s")
        if (step + 1) % settings.every == 0 or step + 1 == settings.steps:
            losses = evaluate(model, held_plain, held_chats, characters)
            say(f"step {step + 1} held out {json.dumps(asdict(losses))}")
            if best is None or losses.both < best.both:
                best = losses
                save_model(model, settings.folder)
    if best is None:
        raise ValueError("steps must be at least 1")
    return best


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent / "opsite-verse", help="where to write it")
    parser.add_argument("--steps", type=int, default=1200, help="of the optimizer (default 1200)")
    parser.add_argument("--tokens", type=int, default=4096, help="in one step, a multiple of 2048 (default 4096)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=3e-3, help="highest learning rate (default 0.003)")
    parser.add_argument("--dropout", type=float, default=0.1, help="while training (default 0.1)")
    parser.add_argument("--every", type=int, default=100, help="steps between two evaluations (default 100)")
    parser.add_argument("--start-from", type=Path, help="a folder of this script, whose weights are trained on")
    parser.add_argument("--threads", type=int, default=2, help="of torch (default 2)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    settings = Settings(
        folder=options.folder,
        steps=options.steps,
        tokens=options.tokens,
        seed=options.seed,
        rate=options.rate,
        dropout=options.dropout,
        every=options.every,
        start_from=options.start_from,
    )
    losses = train(settings, say=lambda line: print(line, flush=True))
    print(f"best: {losses}")


if __name__ == "__main__":
    main()
