"""References to secrets in texts, filled in and masked again."""

from __future__ import annotations

import json
from urllib.parse import quote, quote_plus

import pytest

from tenants.references import UnknownSecret, filled, masked, names_in

SECRETS = {"KEY": "sk-1234", "KEY_2": "sk-1234-longer", "odd": 'a"b\\c /d+é&='}


def test_names_are_found_once() -> None:
    assert names_in(["Bearer ${secret:KEY}", "${secret:odd}${secret:KEY}", "$secret:x {secret:y} ${SECRET:z}"]) == [
        "KEY",
        "odd",
    ]


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("Bearer ${secret:KEY}", "Bearer sk-1234"),
        ("${secret:KEY}:${secret:KEY_2}", "sk-1234:sk-1234-longer"),
        ("nothing here", "nothing here"),
        ("$${secret:KEY}", "$sk-1234"),
    ],
)
def test_references_are_filled(text: str, whole: str) -> None:
    assert filled(text, SECRETS) == whole


def test_a_value_is_not_looked_into() -> None:
    assert filled("${secret:A}", {"A": "${secret:B}", "B": "b"}) == "${secret:B}"


@pytest.mark.parametrize("name", ["NOPE", "", "key", "KEY "])
def test_an_unknown_name_is_refused_by_name(name: str) -> None:
    with pytest.raises(UnknownSecret) as caught:
        filled(f"${{secret:{name}}}", SECRETS)
    assert caught.value.name == name
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize("written", [str, lambda v: quote(v, safe=""), quote, quote_plus, json.dumps,
                                     lambda v: json.dumps(v, ensure_ascii=False)])  # fmt: skip
@pytest.mark.parametrize("name", SECRETS)
def test_a_value_is_masked_however_it_is_written(name: str, written) -> None:
    said = f"the server said {written(SECRETS[name])}!"
    hidden = masked(said, SECRETS)
    assert f"${{secret:{name}}}" in hidden
    assert hidden.replace(f"${{secret:{name}}}", "").strip('!"') in ("the server said ", 'the server said "')


def test_without_secrets_nothing_is_masked() -> None:
    assert masked("text", {}) == "text" == masked("text", {"A": ""})
