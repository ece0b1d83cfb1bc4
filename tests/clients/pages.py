"""A page's examples: its fenced blocks, one program per language, and the answers that it shows.

Blocks of `bash`, `python` and `javascript` are examples. Those of one language on a page are one program, in the page's order: what
one block defines, the later ones have. A block of `json` or `text` is the answer to the block right before it: what that printed
(tests.clients.answers).

A comment right above a block excuses it, with its reason: `<!-- not run: … -->` an example, `<!-- not an answer: … -->` an answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from markdown_it import MarkdownIt

EXAMPLES = ("bash", "python", "javascript")
ANSWERS = ("json", "text")
MARK = "\x1e"
"""Stands in the output before what each block prints, with the block's line."""
_SAY = {
    "bash": "printf '\\n\\036%s\\n' {line}",
    "python": 'print("\\n\\x1e{line}", flush=True)',
    "javascript": 'console.log("\\n\\x1e{line}");',
}
_EXCUSE = re.compile(r"<!-- (?P<what>not run|not an answer): (?P<why>\S.*) -->\s*")


@dataclass(frozen=True)
class Block:
    """One fenced block; `line` is that of its opening fence, from 1."""

    language: str
    text: str
    line: int
    comment: str = ""

    @property
    def is_excused(self) -> bool:
        return bool(self.comment)

    @property
    def is_run(self) -> bool:
        return self.language in EXAMPLES and not self.is_excused


def blocks_of(page: str) -> list[Block]:
    """All code of a page in its order; what is indented only, or has no language, has the language ''."""
    found, tokens = [], MarkdownIt().parse(page)
    for before, token in zip([None, *tokens], tokens, strict=False):
        if token.type in ("fence", "code_block") and token.map:
            comment = before.content.strip() if before and before.type == "html_block" else ""
            found.append(Block(token.info.strip(), token.content, token.map[0] + 1, comment))
    return found


def faults(blocks: Sequence[Block]) -> Iterator[str]:
    """What keeps a page's code from being held against the service, in words."""
    for before, block in zip([None, *blocks], blocks, strict=False):
        where = f"line {block.line}"
        if block.language not in (*EXAMPLES, *ANSWERS):
            known = ", ".join((*EXAMPLES, *ANSWERS))
            yield f"{where}: code of {block.language or 'no language'}; fence it, as one of {known}"
            continue
        what = "not run" if block.language in EXAMPLES else "not an answer"
        if block.comment and ((said := _EXCUSE.fullmatch(block.comment)) is None or said["what"] != what):
            yield f"{where}: the comment above is none of <!-- {what}: why -->"
        if block.language in ANSWERS and not block.is_excused and not (before and before.is_run):
            yield f"{where}: an answer right behind nothing that is run; if it is none: <!-- not an answer: why -->"
        if block.language == "json" and not _is_json(block.text):
            yield f"{where}: this is not JSON"


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def languages(blocks: Sequence[Block]) -> list[str]:
    """Of what is run."""
    return [language for language in EXAMPLES if any(block.is_run and block.language == language for block in blocks)]


def program(blocks: Sequence[Block], language: str, *, prelude: str = "") -> str:
    """The page's blocks of that language on the lines that they have in the page, so that a traceback names these.

    `prelude` stands on the first line, which is a heading's.
    """
    lines: dict[int, str] = {1: prelude}
    for block in blocks:
        if block.is_run and block.language == language:
            lines[block.line] = _SAY[language].format(line=block.line)
            lines.update(enumerate(block.text.splitlines(), start=block.line + 1))
    return "".join(f"{lines.get(number, '')}\n" for number in range(1, max(lines) + 1))


def printed(output: str) -> dict[int, str]:
    """What each block printed, by its line."""
    pieces = re.split(rf"\n{MARK}(\d+)\r?\n", output)
    return {int(line): text for line, text in zip(pieces[1::2], pieces[2::2], strict=True)}


def answers(blocks: Sequence[Block], language: str) -> list[tuple[Block, Block]]:
    """Each example of that language that shows its answer, and the answer."""
    return [
        (example, answer)
        for example, answer in pairwise(blocks)
        if answer.language in ANSWERS and not answer.is_excused and example.language == language
    ]
