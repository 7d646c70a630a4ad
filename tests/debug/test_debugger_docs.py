"""What docs/debugger.md shows is what happens."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.cli_helpers import ROOT
from tests.debug.debug_helpers import Debug

DOCS = ROOT / "docs" / "debugger.md"
PROMPT = "(chiwawa) "


def test_the_session_in_the_docs_is_a_true_one(
    debug: Debug, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    text = DOCS.read_text(encoding="utf-8")
    program = re.search(r"```wat\n(.*?)```", text, re.DOTALL)
    arguments = re.search(r'`chiwawa debug fill\.wat --invoke (\w+) --params "(.*)"`', text)
    session = re.search(r"```\n(1: .*?)```", text, re.DOTALL)
    assert program is not None
    assert arguments is not None
    assert session is not None
    (tmp_path / "fill.wat").write_text(program[1])
    lines = session[1].splitlines()
    commands = [line.removeprefix(PROMPT) for line in lines if line.startswith(PROMPT)]
    outcome = debug(
        "".join(f"{command}\n" for command in commands),
        "fill.wat",
        *("--invoke", arguments[1], "--params", arguments[2]),
    )
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.lines == [line for line in lines if not line.startswith(PROMPT)]
