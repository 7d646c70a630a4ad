"""``chiwawa diff``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.cli_helpers import Cli, Programs, one_line


@pytest.fixture
def checkpoints(cli: Cli, program: Programs) -> tuple[str, str]:
    """Of one program, stopped at two places."""
    for at in (5, 6):
        options = ("--invoke", "sum", "--params", "I32(9)", "--cr-at", at, "--cr-file", f"{at}.bin")
        assert cli("run", program.wasm, *options).status == 0
    return "5.bin", "6.bin"


def test_a_checkpoint_does_not_differ_from_itself(
    cli: Cli, program: Programs, checkpoints: tuple[str, str]
) -> None:
    one, _ = checkpoints
    for more in ([], [program.wasm], [program.py]):
        outcome = cli("diff", one, one, *more)
        assert (outcome.status, outcome.out, outcome.err) == (0, "", "")
    outcome = cli("diff", one, one, "--json")
    assert (outcome.status, json.loads(outcome.out)["equal"]) == (0, True)


def test_what_differs_is_said_with_status_1(
    cli: Cli, program: Programs, checkpoints: tuple[str, str]
) -> None:
    one, two = checkpoints
    outcome = cli("diff", one, two, program.wat)
    assert (outcome.status, outcome.err) == (1, "")
    assert outcome.out == (
        "5.bin | 6.bin\n"
        "safepoints: 5 | 6\n"
        "\n"
        "frames, counted from the oldest:\n"
        "  #0  $sum (function 0) at 0x0003: loop\n"
        "      local $n: I32(5) | I32(4)\n"
        "      local $s: I64(30) | I64(35)\n"
    )
    outcome = cli("diff", one, two, "--json")
    assert outcome.status == 1
    difference = json.loads(outcome.out)
    assert difference["equal"] is False
    assert difference["safepoints"] == {"a": 5, "b": 6}


def test_trouble_is_one_line(
    cli: Cli, echo: Programs, checkpoints: tuple[str, str], tmp_path: Path
) -> None:
    one, two = checkpoints
    assert "of another module" in one_line(cli("diff", one, two, echo.wasm))
    assert "missing.bin" in one_line(cli("diff", one, "missing.bin"))
    (tmp_path / "bad.bin").write_bytes(b"no checkpoint")
    assert one_line(cli("diff", "bad.bin", one)).startswith("bad.bin: ")
    one_line(cli("diff", one))
