"""The blocks of a page of the documentation that can be run.

A block with a title is a file. Of a ``console`` block, a line with ``$`` is typed, and what follows
is printed, on either stream; a ``python`` block is a program. A comment in the line before a block
says that it is not run, or its output not shown, and why.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.cli.cli_helpers import ROOT

DOCS = ROOT / "docs"
#: The pages all of whose blocks can be run, in the order in which they stand.
PAGES = sorted(
    str(page.relative_to(DOCS))
    for page in [
        *DOCS.glob("guides/*.md"),
        *(DOCS / f"{name}.md" for name in ("anatomy", "instruments", "start", "wasi")),
    ]
)
_BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>not run|output): (?P<reason>[^\n]+) -->\n)?"
    r"^```(?P<language>\w*)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Block:
    language: str
    text: str
    title: str | None = None
    mark: str | None = None

    @property
    def commands(self) -> list[tuple[str, str]]:
        """What is typed, each with what is printed."""
        parts = re.split(r"^\$ ", self.text, flags=re.MULTILINE)
        assert parts[0] == "", "a console begins with what is typed"
        typed = [part.partition("\n") for part in parts[1:]]
        return [(line, printed) for line, _, printed in typed]


def blocks(page: str) -> list[Block]:
    text = (DOCS / page).read_text(encoding="utf-8")
    found = [
        Block(block["language"], block["text"], block["title"], block["mark"])
        for block in _BLOCK.finditer(text)
    ]
    assert len(found) * 2 == len(re.findall(r"^```", text, re.MULTILINE)), "a block was overlooked"
    return found


def folder_of(path: Path) -> Path:
    """Somewhere to be, with nothing in it."""
    folder = path / "empty"
    folder.mkdir()
    return folder
