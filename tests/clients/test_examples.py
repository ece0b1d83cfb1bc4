"""Every example of every docs page, and of the README, runs against the service, and answers as the page shows.

What a page's code must look like: tests/clients/pages.py.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients.answers import difference
from tests.clients.pages import answers, blocks_of, faults, languages, printed, program
from tests.clients.service import JS, ROOT, Service

README = ROOT / "README.md"
PAGES = {
    str(page.relative_to(ROOT)): page
    for page in (README, *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "deploy").glob("*.md")))
}
BLOCKS = {name: blocks_of(page.read_text()) for name, page in PAGES.items()}
NEEDS = {"bash": [pytest.mark.shell], "python": [], "javascript": [pytest.mark.npm]}
PROGRAMS = [
    pytest.param(name, language, marks=NEEDS[language])
    for name, blocks in BLOCKS.items()
    for language in languages(blocks)
]
COMMANDS = {"bash": ["bash"], "python": [sys.executable, "-X", "dev"], "javascript": ["node"]}
PRELUDES = {"bash": "set -euo pipefail"}
ENDINGS = {"bash": "sh", "python": "py", "javascript": "mjs"}
TIMEOUT_S = 120
pytestmark = pytest.mark.timeout(300)  # the first test waits for the service to start


@pytest.mark.parametrize("name", PAGES)
def test_every_example_is_run_or_says_why_not(name: str) -> None:
    assert list(faults(BLOCKS[name])) == []


@pytest.mark.parametrize(("name", "language"), PROGRAMS)
def test_the_examples_of(name: str, language: str, service: Service, tmp_path: Path) -> None:
    file = tmp_path / f"{PAGES[name].name}.{ENDINGS[language]}"
    file.write_text(program(BLOCKS[name], language, prelude=PRELUDES.get(language, "")))
    (tmp_path / "node_modules").symlink_to(JS / "node_modules")
    environment = service.program_environment(service.key_of(f"{PAGES[name].stem.lower()}-{language}"), tmp_path)
    if name == README.name:  # its reader is in the repository, and runs the service
        environment = {**service.environment, **environment}
    done = subprocess.run(
        [*COMMANDS[language], str(file)],
        cwd=ROOT if name == README.name else tmp_path,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, f"{name}, {language}:\n{done.stdout}\n{done.stderr}"
    said = printed(done.stdout)
    for example, answer in answers(BLOCKS[name], language):
        found = difference(answer.text, said[example.line], language=answer.language)
        assert found is None, f"{name}, line {answer.line}: {found}"
