"""What a worker needs on its host before it can start, how far that is, and the sentences about it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

Kind = Literal["image", "weights"]
State = Literal["missing", "fetching", "present", "failed"]

TOKEN = "HF_TOKEN"  # noqa: S105 - its name
_UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
_WHAT: Mapping[Kind, str] = {"image": "The image {} is being pulled", "weights": "The weights of {} are being fetched"}


@dataclass(frozen=True, slots=True)
class Item:
    """An image by its name, or a hub's model as `id` or `id@revision`.

    `ways`: environments by which the hub may be reached, with a token maybe; the first that gives it is as good as any.
    """

    kind: Kind
    name: str
    ways: tuple[Mapping[str, str], ...] = field(default=({},), compare=False, repr=False)

    def __str__(self) -> str:
        return f"image {self.name}" if self.kind == "image" else f"weights of {self.name}"


def merged(items: Iterable[Item]) -> set[Item]:
    """Each thing once, with the ways of all who want it: those with a token first, since a hub may give it to no others."""
    ways: dict[Item, list[Mapping[str, str]]] = {}
    for item in items:
        known = ways.setdefault(item, [])
        known += [way for way in item.ways if way not in known]
    return {
        replace(item, ways=tuple(sorted(those, key=lambda way: not way.get(TOKEN)))) for item, those in ways.items()
    }


@dataclass(frozen=True, slots=True)
class Status:
    """How far an item is. `done` of `total` bytes are here; `total` is 0 while it is not known.

    `missing`: it is not known yet whether it is here. `error` says what to change where it failed. `folder`: where weights lie.
    """

    state: State = "missing"
    done: int = 0
    total: int = 0
    error: str = ""
    folder: str = ""

    @property
    def percent(self) -> int | None:
        """Whole percent; None while the size is not known. It is 100 only when all of it is here."""
        if self.state == "present":
            return 100
        return min(99, 100 * self.done // self.total) if self.total else None


def progress(item: Item, status: Status) -> str:
    """`The image x is being pulled: 43 % of 7.1 GiB.`; empty where nothing is being fetched."""
    if status.state != "fetching":
        return ""
    if status.percent is None:
        return f"{_WHAT[item.kind].format(item.name)}."
    return f"{_WHAT[item.kind].format(item.name)}: {status.percent} % of {size(status.total)}."


def awaited(statuses: Iterable[tuple[Item, Status]]) -> str | None:
    """Why a worker cannot start yet: empty while that is only being looked at, None where nothing is waited for.

    What failed is not waited for: the start fails, and says so.
    """
    waits = [(item, status) for item, status in statuses if status.state in ("missing", "fetching")]
    if not waits:
        return None
    return " ".join(filter(None, (progress(item, status) for item, status in waits)))


def shown(item: Item, status: Status) -> str:
    """For a list: `image x: present`."""
    match status.state:
        case "fetching":
            return progress(item, status)
        case "failed":
            return status.error
        case "missing":
            return f"{item}: not looked at yet"
        case "present":
            return f"{item}: present"


def size(count: int) -> str:
    """Bytes for a reader: `7.1 GiB`."""
    for unit, name in _UNITS:
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count} bytes"
