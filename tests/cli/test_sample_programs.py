"""The samples that are programs: the same output on each path, and with a move in the middle."""

from __future__ import annotations

from pathlib import Path

import pytest

from chiwawa import paths
from tests.cli.cli_helpers import ROOT, Cli

SPHERES = ROOT / "samples" / "spheres.wasm"
#: One ray a character, and few characters.
SMALL = ("--", "1", "32")
PATHS = paths.available()


@pytest.mark.parametrize("path", PATHS)
def test_a_picture_is_the_same_wherever_its_lines_are_painted(
    cli: Cli, tmp_path: Path, path: str
) -> None:
    whole = cli("run", SPHERES, "--path", PATHS[0], *SMALL).out
    assert [len(line) for line in whole.splitlines()] == [32] * 13
    first = cli("run", SPHERES, "--path", path, "--cr-at", 2000, *SMALL)
    assert "checkpoint written" in first.err
    checkpoint = tmp_path / "checkpoint.bin"
    for other in PATHS:
        rest = cli("run", SPHERES, "--path", other, "--restore", checkpoint)
        assert (rest.status, rest.err) == (0, "")
        assert first.out + rest.out == whole
        assert 0 < len(first.out) < len(whole)
