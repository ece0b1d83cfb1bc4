"""`python -m orchestrator.stock.hub MODEL REVISION CACHE`: fetch a model's weights, in a process of its own.

It may take hours and hundreds of MB of memory, and must end at once when it is told to. What it does it says on its standard
output, a JSON object a line: `{"done": 5, "total": 9}` now and then, and at last `{"folder": "…"}` or `{"error": "…"}`. It needs
`huggingface_hub`, which comes with transformers. A snapshot that is here as a whole is taken as it is, and nobody is asked.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
import time
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

BESIDE_SAFETENSORS = [
    "*.bin", "*.pt", "*.pth", "*.ckpt", "*.gguf", "*.h5", "*.msgpack", "*.ot", "*.tflite",
    "onnx/*", "openvino/*", "coreml/*", "original/*",
]  # fmt: skip
"""The same weights once more, in forms that engines pass over where there are safetensors."""

EVERY_S = 0.25
ABANDONED_S = 24 * 3600.0


def main() -> None:
    """Fetch what the arguments name."""
    threading.Thread(target=end_with_parent, name="leash", daemon=True).start()
    os.umask(0o022)  # containers read it as another user
    model, revision, cache = sys.argv[1:4]
    try:
        say(folder=fetch(model, revision, Path(cache)))
    except Exception as error:
        say(error=f"The weights of {model} are not here, and {reason(error, revision)}")


def end_with_parent() -> None:
    """The orchestrator holds the other end of the standard input: when that is closed, nobody waits for this any more."""
    sys.stdin.buffer.read()
    os._exit(1)


def say(**words: Any) -> None:
    """One line for the orchestrator."""
    print(json.dumps(words), flush=True)


def fetch(model: str, revision: str, cache: Path) -> str:
    """The snapshot's folder."""
    from huggingface_hub import snapshot_download

    found = here(model, revision, cache)
    if found is not None:
        return found
    files = snapshot_download(model, revision=revision, cache_dir=cache, dry_run=True)
    ignored = BESIDE_SAFETENSORS if any(file.filename.endswith(".safetensors") for file in files) else None
    files = [file for file in files if not any(fnmatch(file.filename, pattern) for pattern in ignored or ())]
    total = sum(file.file_size or 0 for file in files)
    missing = sum(file.file_size or 0 for file in files if not file.is_cached)
    free = shutil.disk_usage(_existing(cache)).free
    if missing > free:
        raise NoRoom(f"{cache} has room for {free >> 20} MiB of the {missing >> 20} MiB that are missing")
    blobs = cache / f"models--{model.replace('/', '--')}" / "blobs"
    tidy(blobs)
    with _Teller(blobs, total=total, cached=total - missing):
        return str(snapshot_download(model, revision=revision, cache_dir=cache, ignore_patterns=ignored))


def tidy(blobs: Path) -> None:
    """Parts of files that a process left behind which was killed: the library begins such a file anew, under another name."""
    for part in blobs.glob("*.incomplete"):
        with suppress(OSError):
            if time.time() - part.stat().st_mtime > ABANDONED_S:
                part.unlink()


class NoRoom(Exception):
    """The cache's disk is too small."""


def here(model: str, revision: str, cache: Path) -> str | None:
    """The snapshot's folder, if all of it is here; nobody is asked."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    for ignored in (BESIDE_SAFETENSORS, None):
        try:
            folder = snapshot_download(
                model, revision=revision, cache_dir=cache, local_files_only=True, ignore_patterns=ignored
            )
        except LocalEntryNotFoundError:
            continue
        if ignored is None or any(Path(folder).rglob("*.safetensors")):
            return str(folder)
    return None


def reason(error: Exception, revision: str) -> str:
    """Why it cannot be fetched, and what to change."""
    from huggingface_hub import errors

    cause = error.__cause__ if isinstance(error, errors.DryRunError) and error.__cause__ else error
    said = " ".join(str(cause).split())[:300]
    match cause:
        case errors.GatedRepoError():
            return "the hub gives them to nobody without leave: ask for it there, and set HF_TOKEN in the pool's env."
        case errors.RepositoryNotFoundError() | errors.HFValidationError():
            return "the hub shows no such model: correct the pool's model, or set HF_TOKEN in its env if it is private."
        case errors.RevisionNotFoundError():
            return f"the hub has no revision {revision} of it: correct `revision` in the engine arguments."
        case NoRoom():
            return f"cannot be fetched: {said}. Make room, or set OPSITE_MODEL_CACHE to a larger disk."
    return (
        f"cannot be fetched ({type(cause).__name__}: {said}): see that this host reaches the hub, or name a folder as the "
        "pool's model."
    )


class _Teller:
    """Says every now and then how many bytes are here, by what lies in the cache: the library's bars count pieces, not files."""

    def __init__(self, blobs: Path, *, total: int, cached: int) -> None:
        self._blobs, self._total, self._cached = blobs, total, cached
        self._before = self._size()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="teller", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            say(done=min(self._total, self._cached + max(0, self._size() - self._before)), total=self._total)
            if self._over.wait(EVERY_S):
                return

    def _size(self) -> int:
        total = 0
        for path in self._blobs.glob("*"):
            try:
                total += path.stat().st_size
            except OSError:  # it was renamed just now
                continue
        return total


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())


if __name__ == "__main__":
    main()
