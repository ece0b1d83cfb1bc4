"""Ids to text: whole characters, held-back stop strings, and the same text however the ids are grouped."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_worker.detokenize import LONGEST_CHARACTER, Answer, Detokenizer, StopStrings

END = 256


def decode(ids: Sequence[int]) -> str:
    """A byte-level tokenizer in its simplest form; 256 ends the text and is not part of it."""
    return bytes(token_id for token_id in ids if token_id < END).decode("utf-8", "replace")


def answer(stops: Sequence[str] = (), *, max_tokens: int = 1000, prompt: bytes = b"Say: ") -> Answer:
    return Answer(decode=decode, prompt_ids=list(prompt), stops=stops, end_ids=frozenset({END}), max_tokens=max_tokens)


def said(one: Answer, ids: Sequence[int]) -> tuple[list[str], str | None]:
    """The text of each push, and the ending."""
    pieces = []
    for token_id in ids:
        text, ending = one.push(token_id)
        pieces.append(text)
        if ending:
            return pieces, ending
    return pieces, None


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("abc", ["a", "b", "c"]),
        ("é!", ["", "é", "!"]),
        ("a€", ["a", "", "", "€"]),
        ("😀", ["", "", "", "😀"]),
    ],
)
def test_characters_come_whole(text: str, pieces: list[str]) -> None:
    assert said(answer(), text.encode())[0] == pieces


def test_bytes_that_are_no_character_are_not_held_for_ever() -> None:
    pieces, _ = said(answer(), [0xFF] * (LONGEST_CHARACTER + 1))
    assert "".join(pieces).startswith("\N{REPLACEMENT CHARACTER}")


def test_an_incomplete_character_at_the_end_is_shown_as_broken() -> None:
    pieces, ending = said(answer(max_tokens=2), "a€".encode()[:2])
    assert ("".join(pieces), ending) == ("a\N{REPLACEMENT CHARACTER}", "length")


@pytest.mark.parametrize(
    ("stops", "text", "pieces", "ending"),
    [
        (["\n\n"], "ab\n\ncd", ["a", "b", "", ""], "stop"),
        (["\n\n"], "a\nb", ["a", "", "\nb"], None),
        (["END", "N"], "xEND", ["x", "", "E"], "stop"),
        (["aab"], "aaab", ["", "", "a", ""], "stop"),
        (["é"], "aé", ["a", "", ""], "stop"),
        ([""], "ab", ["a", "b"], None),
    ],
)
def test_stop_strings(stops: list[str], text: str, pieces: list[str], ending: str | None) -> None:
    assert said(answer(stops), text.encode()) == (pieces, ending)


def test_what_was_held_back_for_a_stop_string_comes_out_at_the_end() -> None:
    assert said(answer(["abc"]), [*b"xab", END]) == (["x", "", "", "ab"], "stop")
    assert said(answer(["abc"], max_tokens=3), b"xab") == (["x", "", "ab"], "length")


def test_the_budget_ends_the_answer() -> None:
    assert said(answer(max_tokens=2), b"abc") == (["a", "b"], "length")


@given(st.text(min_size=1, max_size=80), st.lists(st.text(alphabet="ab", min_size=1, max_size=3), max_size=2))
def test_a_continued_answer_says_what_an_undisturbed_one_says(text: str, stops: list[str]) -> None:
    ids = [*text.encode(), END]
    whole, ending = said(answer(stops), ids)
    for cut in range(len(whole)):
        resumed = answer(stops)
        assert resumed.replay(ids[:cut]) is None
        rest, resumed_ending = said(resumed, ids[cut:])
        assert (whole[cut:], ending) == (rest, resumed_ending)


@given(st.text(max_size=200))
def test_all_pieces_together_are_the_decoded_text(text: str) -> None:
    one = Detokenizer(decode, list(b"prompt"))
    assert "".join(map(one.push, text.encode())) + one.flush() == text


@given(st.text(alphabet="abc", max_size=40), st.lists(st.text(alphabet="abc", min_size=1, max_size=4), min_size=1))
def test_nothing_of_a_stop_string_is_ever_released(text: str, stops: list[str]) -> None:
    one = StopStrings(stops)
    released, stopped = "", False
    for character in text:
        piece, stopped = one.push(character)
        released += piece
        if stopped:
            break
    expected = min((at for at in map(text.find, stops) if at >= 0), default=None)
    if stopped:
        assert not any(stop in released for stop in stops)
        assert text.startswith(released)
    else:
        assert expected is None
        assert released + one.flush() == text


def test_an_answer_whose_last_word_was_lost_is_known_to_be_over() -> None:
    assert answer(["!"]).replay(b"ab!") == "stop"
    assert answer(max_tokens=2).replay(b"ab") == "length"
    assert answer().replay([*b"ab", END]) == "stop"
