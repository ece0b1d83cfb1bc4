"""The grammar that an output form stands for, in llguidance's notation: what is refused by it, and what engines guide by.

JSON is guided without white space between its tokens: a model that may write any number of spaces may do nothing else.
"""

from __future__ import annotations

from typing import Any

import msgspec
from llguidance import LLMatcher

from taskqueue.messages import OutputForm

ANY_OBJECT = {"type": "object"}


def grammar_of(form: OutputForm) -> str:
    """The grammar; whether it can be guided by is `objection`'s to say."""
    if form.kind == "regex":
        return LLMatcher.grammar_from_regex(form.regex)
    schema = ANY_OBJECT if form.kind == "json_object" else form.json_schema or {}
    text = msgspec.json.encode(schema).decode()
    return LLMatcher.grammar_from_json_schema(text, overrides={"whitespace_flexible": False})


def json_rule(schema: dict[str, Any]) -> str:
    """A schema as a rule of a larger grammar, in Lark's notation."""
    return "%json " + msgspec.json.encode({**schema, "x-guidance": {"whitespace_flexible": False}}).decode()


def regex_rule(pattern: str) -> str:
    """The same of a regular expression, whose slashes and line feeds have a notation of their own there."""
    whole = msgspec.json.decode(LLMatcher.grammar_from_regex(pattern))
    return str(whole["grammars"][0]["lark_grammar"]).removeprefix("start: ")


def form_rule(form: OutputForm) -> str:
    """The same of a form."""
    if form.kind == "regex":
        return regex_rule(form.regex)
    return json_rule(ANY_OBJECT if form.kind == "json_object" else form.json_schema or {})


def objection(form: OutputForm) -> str:
    """Why no engine can guide by this form, in one line; empty if it can."""
    is_error, messages = LLMatcher.validate_grammar_with_warnings(grammar_of(form))
    return " ".join(messages[0].split()) if is_error else ""
