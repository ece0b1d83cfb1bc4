"""The tokens of a text by the embedding model's own tokenizer, where its files are on this host; else by characters."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from tokenizers import Tokenizer

from knowledge.chunking import Span, quarters
from knowledge.models import Document

TOKENIZER = "tokenizer.json"


def spans(text: str, *, model: str, base_folder: Path, cache: Path) -> tuple[list[Span], Document.Measure]:
    """A text's tokens as spans of characters, the model's special tokens left out, and how they were measured.

    `model` is a folder (absolute, or below `base_folder`) or a hub id, whose files are looked for in `cache` (in the hub's form).
    """
    path = tokenizer_file(model, base_folder=base_folder, cache=cache)
    if path is None:
        return quarters(text), Document.Measure.CHARACTERS
    encoding = _tokenizer(path, path.stat().st_mtime_ns).encode(text, add_special_tokens=False)
    return [span for span in encoding.offsets if span[0] < span[1]], Document.Measure.TOKENS


def tokenizer_file(model: str, *, base_folder: Path, cache: Path) -> Path | None:
    """Where the model's tokenizer lies; None if it is not here, or has no such file."""
    if not model:
        return None
    folder = base_folder / model
    if folder.is_dir():
        found = folder / TOKENIZER
        return found if found.is_file() else None
    snapshots = (cache / f"models--{model.replace('/', '--')}" / "snapshots").glob(f"*/{TOKENIZER}")
    return max(snapshots, key=lambda path: path.stat().st_mtime_ns, default=None)


@lru_cache(maxsize=8)
def _tokenizer(path: Path, changed_ns: int) -> Tokenizer:
    """Read anew when the file has changed."""
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
