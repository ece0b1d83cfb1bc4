"""A log's end as a page may show it."""

from __future__ import annotations

import pytest

from orchestrator.log_lines import LINE_CHARS, LINES, shown
from orchestrator.masking import mask_of


@pytest.mark.parametrize(
    ("raw", "lines"),
    [
        ("", ()),
        ("one\ntwo\n", ("one", "two")),
        ("one\n\ntwo\n\n\n", ("one", "", "two")),
        ("\x1b[1;32mgreen\x1b[0m\n\x1b]0;a title\x07text\n", ("green", "text")),
        ("  3%|#   |\r 50%|##  |\r100%|####|\n", ("100%|####|",)),
        ("windows\r\n", ("windows",)),
        ("a\x00b\x08c\u202ed\tx\n", ("abcd    x",)),
        ("<script>alert(1)</script>\n", ("<script>alert(1)</script>",)),
    ],
)
def test_nothing_is_left_but_text(raw: str, lines: tuple[str, ...]) -> None:
    assert shown(raw) == lines


def test_it_is_bounded_by_lines_and_their_length() -> None:
    many = shown("".join(f"line {number}\n" for number in range(LINES * 3)))
    assert (len(many), many[0], many[-1]) == (LINES, f"line {LINES * 2}", f"line {LINES * 3 - 1}")
    (long,) = shown("x" * 10_000)
    assert (len(long), long[-1]) == (LINE_CHARS, "…")


@pytest.mark.parametrize("within", ["\x1b[0m", "\u200b", "\x00", "\x1b]8;;\x07"])
def test_what_is_not_seen_within_a_secret_does_not_show_it(within: str) -> None:
    mask = mask_of({"HF_TOKEN": "hf_sesame-street"})
    assert shown(f"with hf_sesame{within}-street, and so on\n", hide=mask.hide) == ("with •••, and so on",)
    (cut,) = shown("x" * (LINE_CHARS - 9) + f"hf_sesame{within}-street", hide=mask.hide)
    assert "hf_" not in cut
