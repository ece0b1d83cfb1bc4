"""Small JSON schemas by chance, and requests whose answers must have a form."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st

from gpu_worker.engines import EngineRequest
from taskqueue.messages import OutputForm
from tests.gpu_worker.conftest import request

NAMES = st.sampled_from(["a", "b", "name", "né", 'qu"ote'])


def leaves() -> st.SearchStrategy[dict[str, Any]]:
    """Schemas of single values, bounded so that an answer can end."""
    return st.one_of(
        st.integers(0, 5).map(lambda low: {"type": "integer", "minimum": low, "maximum": low + 20}),
        st.integers(0, 3).map(lambda low: {"type": "string", "minLength": low, "maxLength": low + 6}),
        st.sampled_from(
            [
                {"type": "boolean"},
                {"type": "null"},
                {"enum": ["yes", "no", 3]},
                {"const": {"k": [1]}},
                {"type": ["integer", "null"], "maximum": 9, "minimum": 0},
            ]
        ),
    )


def schemas() -> st.SearchStrategy[dict[str, Any]]:
    """Leaves, in objects, arrays and alternatives."""
    return st.recursive(
        leaves(), lambda inner: st.one_of(_arrays(inner), _objects(inner), _either(inner)), max_leaves=4
    )


def _arrays(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    def made(items: dict[str, Any], least: int) -> dict[str, Any]:
        return {"type": "array", "items": items, "minItems": least, "maxItems": least + 2}

    return st.builds(made, inner, st.integers(0, 2))


def _objects(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    def made(properties: dict[str, Any], required: set[str]) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": properties,
            "required": sorted(required & properties.keys()),
            "additionalProperties": False,
        }

    return st.builds(made, st.dictionaries(NAMES, inner, max_size=3), st.sets(NAMES))


def _either(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.lists(inner, min_size=1, max_size=2).map(lambda branches: {"anyOf": branches})


def formed(number: int, form: OutputForm, **how: Any) -> EngineRequest:
    """A request whose answer must have that form."""
    asked = request(number, **how)
    return msgspec.structs.replace(asked, body=msgspec.structs.replace(asked.body, output=form))
