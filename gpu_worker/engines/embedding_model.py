"""A model of transformers that turns texts into vectors, pooled as its sentence-transformers files say.

Without such files (`modules.json`) it is the mean over the last hidden states, normalised to length 1. What they ask for and is
not done here is a reason not to start: other vectors than the model's own would be worth nothing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import msgspec
from msgspec import Meta

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # gpu_worker.engines.transformers says why

import torch
import transformers
from torch import Tensor
from transformers.utils.hub import cached_file

from gpu_worker.engines import Phases
from gpu_worker.engines.prompting import PromptRefused
from taskqueue.messages import TaskError

Pooling = Literal["mean", "cls", "lasttoken", "max"]
_POOLINGS = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_lasttoken": "lasttoken",
    "pooling_mode_max_tokens": "max",
}
_KINDS = ("Transformer", "Pooling", "Normalize")


class EmbeddingArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What OPSITE_ENGINE_ARGS may set. `context` may only be shorter than the model's own; `batch_tokens` bounds a pass, padding
    included.

    `threads` on the CPU are torch's own choice (OMP_NUM_THREADS, or all cores) unless they are set.
    """

    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: str = "auto"
    threads: Annotated[int, Meta(ge=1)] | None = None
    context: Annotated[int, Meta(ge=3)] | None = None
    batch_tokens: Annotated[int, Meta(ge=1)] = 8192


class Recipe(msgspec.Struct, frozen=True):
    """What becomes of the hidden states. `context` is None where the files name no length; `prompt` goes before each text."""

    pooling: Pooling = "mean"
    normalise: bool = True
    context: int | None = None
    prompt: str = ""


class Read(msgspec.Struct, frozen=True):
    """Texts in token ids, and whether any was cut to the context."""

    ids: list[list[int]]
    cut: bool

    @property
    def tokens(self) -> int:
        """Of all texts together."""
        return sum(map(len, self.ids))


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    """A loaded model. `context` is the longest text in tokens, the model's special tokens included."""

    tokenizer: Any
    model: Any
    recipe: Recipe
    context: int

    def read(self, texts: Sequence[str], *, truncate: bool) -> Read:
        """Texts as token ids. Raises `PromptRefused` for one that is longer than the context, unless it may be cut."""
        texts = [self.recipe.prompt + text for text in texts]
        ids: list[list[int]] = self.tokenizer(texts, truncation=False, padding=False)["input_ids"]
        long = [index for index, one in enumerate(ids) if len(one) > self.context]
        if long and not truncate:
            raise PromptRefused(
                TaskError(
                    "context_length_exceeded",
                    f"Text {long[0]} (counted from 0) has {len(ids[long[0]])} tokens; this model takes {self.context}. "
                    "Send a shorter text, or ask for `truncate`.",
                )
            )
        for index in long:
            ids[index] = self.tokenizer(texts[index], truncation=True, max_length=self.context)["input_ids"]
        return Read(ids, cut=bool(long))

    @torch.inference_mode()
    def vectors(self, ids: Sequence[Sequence[int]]) -> list[list[float]]:
        """One vector per text, in the order given; shorter texts are padded on the right."""
        width = max(map(len, ids))
        pad = self.tokenizer.pad_token_id or 0
        device = self.model.device
        tokens = torch.tensor([[*one, *[pad] * (width - len(one))] for one in ids], device=device)
        mask = torch.tensor([[1] * len(one) + [0] * (width - len(one)) for one in ids], device=device)
        hidden = self.model(input_ids=tokens, attention_mask=mask).last_hidden_state.float()
        pooled = _pooled(hidden, mask, self.recipe.pooling)
        if self.recipe.normalise:
            pooled = torch.nn.functional.normalize(pooled, dim=1)
        return cast("list[list[float]]", pooled.cpu().tolist())


def _pooled(hidden: Tensor, mask: Tensor, pooling: Pooling) -> Tensor:
    """(texts, tokens, width) to (texts, width), padding left out."""
    if pooling == "cls":
        return hidden[:, 0]
    if pooling == "lasttoken":
        return hidden[torch.arange(len(hidden), device=hidden.device), mask.sum(1) - 1]
    there = mask.unsqueeze(-1)
    if pooling == "max":
        return hidden.masked_fill(there == 0, -torch.inf).amax(1)
    return (hidden * there).sum(1) / there.sum(1).clamp(min=1)


def load(name: str, args: EmbeddingArgs, phases: Phases) -> EmbeddingModel:
    """Model and tokenizer from a folder or the hub, warmed up by one text. What it raises says why it cannot be served."""
    phases.enter("load")
    local = Path(name).is_dir()
    if not local and name.startswith(("/", "./", "../", "~")):
        raise FileNotFoundError("there is no such folder")
    transformers.utils.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    device = args.device if args.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    dtype = args.dtype if args.dtype != "auto" else "float32" if device == "cpu" else "bfloat16"
    recipe = read_recipe(name)
    tokenizer = transformers.AutoTokenizer.from_pretrained(name, local_files_only=local)
    model: Any = transformers.AutoModel.from_pretrained(name, dtype=getattr(torch, dtype), local_files_only=local)
    model.to(device).eval()
    if device == "cpu" and args.threads:
        torch.set_num_threads(args.threads)
    limits = (args.context, recipe.context, tokenizer.model_max_length, model.config.max_position_embeddings)
    loaded = EmbeddingModel(tokenizer, model, recipe, min(int(limit) for limit in limits if limit))
    phases.enter("compile")
    loaded.vectors(loaded.read(["warm up"], truncate=True).ids)
    return loaded


def read_recipe(name: str) -> Recipe:
    """What the model's sentence-transformers files say. Raises `ValueError` for what is not done here."""
    modules = _json(name, "modules.json")
    if modules is None:
        return Recipe()
    paths = {str(module["type"]).rpartition(".")[2]: module["path"] for module in modules}
    if unknown := [kind for kind in paths if kind not in _KINDS]:
        raise ValueError(f"its module {unknown[0]} is not served by this engine; it serves {', '.join(_KINDS)}")
    if "Pooling" not in paths:
        raise ValueError("its modules.json names no Pooling")
    pooling = _json(name, _join(paths["Pooling"], "config.json")) or {}
    whole = _json(name, "config_sentence_transformers.json") or {}
    lengths = _json(name, _join(paths.get("Transformer", ""), "sentence_bert_config.json")) or {}
    prompt = (whole.get("prompts") or {}).get(whole.get("default_prompt_name") or "", "")
    if prompt and not pooling.get("include_prompt", True):
        raise ValueError("its pooling leaves out its default prompt, which this engine does not")
    return Recipe(
        pooling=_pooling(pooling),
        normalise="Normalize" in paths,
        context=lengths.get("max_seq_length"),
        prompt=prompt,
    )


def _pooling(config: dict[str, Any]) -> Pooling:
    """One pooling mode, whether it stands as a word or as one flag of several."""
    named = config.get("pooling_mode")
    flags = [flag for flag, on in config.items() if flag.startswith("pooling_mode_") and on is True]
    modes = [named] if named else [_POOLINGS.get(flag, flag) for flag in flags]
    if len(modes) != 1 or modes[0] not in _POOLINGS.values():
        raise ValueError(f"its pooling is {modes}; this engine does one of {', '.join(_POOLINGS.values())}")
    return cast("Pooling", modes[0])


def _join(folder: str, file: str) -> str:
    return f"{folder}/{file}" if folder else file


def _json(name: str, path: str) -> Any:
    """A file of the model's, decoded; None if it has none."""
    found = cached_file(name, path, _raise_exceptions_for_missing_entries=False)
    return None if found is None else msgspec.json.decode(Path(found).read_bytes())
