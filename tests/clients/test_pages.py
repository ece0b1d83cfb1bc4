"""What is asked of a page's code, on pages made up for it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.clients.answers import difference
from tests.clients.pages import answers, blocks_of, faults, printed, program

PAGE = """# A page
```python
x = 1
print(x)
```

```text
1
```
Words.

<!-- not run: it never ends -->
```python
while True: ...
```

```python
print(x + 1)
```
"""


def test_blocks_of_a_language_are_one_program_on_the_page_s_own_lines() -> None:
    blocks = blocks_of(PAGE)
    assert list(faults(blocks)) == []
    text = program(blocks, "python", prelude="import sys")
    assert text.splitlines()[2:4] == ["x = 1", "print(x)"]
    assert "while" not in text
    output = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True).stdout
    assert {line: said.strip() for line, said in printed(output).items()} == {2: "1", 17: "2"}
    ((example, answer),) = answers(blocks, "python")
    assert (example.line, answer.text) == (2, "1\n")


@pytest.mark.parametrize(
    ("page", "fault"),
    [
        ("# x\n\n    make up\n", "code of no language"),
        ("```\nmake up\n```\n", "code of no language"),
        ("```yaml\na: 1\n```\n", "code of yaml"),
        ("<!-- needs a GPU -->\n```bash\nmake up\n```\n", "none of <!-- not run: why -->"),
        ("<!-- not run: -->\n```bash\nmake up\n```\n", "none of <!-- not run: why -->"),
        ("<!-- not an answer: x -->\n```bash\nmake up\n```\n", "none of <!-- not run: why -->"),
        ("```json\n{}\n```\n", "an answer right behind nothing that is run"),
        ("<!-- not run: x -->\n```bash\nls\n```\n```text\nx\n```\n", "an answer right behind nothing that is run"),
        ("<!-- not an answer: x -->\n```json\n{x}\n```\n", "this is not JSON"),
    ],
)
def test_faults(page: str, fault: str) -> None:
    (said,) = faults(blocks_of(page))
    assert fault in said


@pytest.mark.parametrize(
    ("shown", "text", "said"),
    [
        ('{"id": "a…", "n": 1, "x": null}', '{"id": "abc", "n": 2.5, "x": [1]}', None),
        ('{"id": "a…"}', '{"id": "bc"}', "the answer.id is 'bc'"),
        ('{"id": "a"}', '{"id": "a", "more": 1}', "the answer has more as well"),
        ('{"id": "a", "…": "…"}', '{"id": "a", "more": 1}', None),
        ('{"id": "a", "b": 1}', '{"id": "a"}', "the answer has no b"),
        ('{"a": [{"b": 1}]}', '{"a": [{"b": "1"}]}', "the answer.a[0].b is '1'"),
        ('{"a": [1, "…"]}', '{"a": [1, 2, 3]}', None),
        ('{"a": [1]}', '{"a": [1, 2]}', "the answer.a has 2 items"),
        ('{"a": true}', '{"a": 1}', "the answer.a is 1"),
        ('{"a": {}}', '{"a": []}', "the answer.a is []"),
        ("{}", "curl: (7)", "not JSON"),
    ],
)
def test_json_answers(shown: str, text: str, said: str | None) -> None:
    found = difference(shown, text, language="json")
    assert (found is None) if said is None else (found or "").startswith(said)


def test_texts() -> None:
    assert difference("It is … degrees\n", "It is 3 degrees", language="text") is None
    assert difference("It is … degrees", "It was 3 degrees", language="text")
