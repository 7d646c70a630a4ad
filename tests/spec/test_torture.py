"""The specification's test suite, moved to another path again and again: nothing changes."""

from __future__ import annotations

import os

import pytest

from chiwawa.commands.wast import Report, run_script
from tests.path_helpers import IN_PYTHON, PATHS
from tests.spec.suite_helpers import FILES, SUITE

pytestmark = pytest.mark.needs("testsuite")

#: Of what the ordinary run moves: instances that are linked, tables, globals, memories, start
#: functions, calls of all kinds.
SHARE = (
    "block",
    "br_table",
    "elem",
    "f32",
    "global",
    "imports",
    "left-to-right",
    "linking",
    "memory_grow",
    "ref_func",
    "select",
    "start",
    "table_grow",
    "unwind",
)
#: What a run never gets to the end of, where so many boundaries are counted.
NEVER = 10**15


def unmet(report: Report) -> set[tuple[int, str]]:
    return {(failure.line, failure.got) for failure in report.failures}


def is_same_when_moved(file: str, execution: str, stops: int) -> None:
    """Moved at so many boundaries, spread evenly; at all, where there are no more."""
    plain = run_script(SUITE / file, execution)
    counted = run_script(SUITE / file, execution, NEVER)
    assert unmet(counted) == unmet(plain)
    assert counted.boundaries is not None
    every = max(1, counted.boundaries // stops)
    moved = run_script(SUITE / file, execution, every)
    if execution in IN_PYTHON:
        assert unmet(moved) == unmet(plain)
        if every == 1:
            assert moved.stops == counted.boundaries
    else:
        # What it refuses may be run where it was moved to, or fail there for want of what it has
        # refused before.
        assert {line for line, _ in unmet(moved)} <= {line for line, _ in unmet(plain)}


@pytest.mark.parametrize("execution", PATHS)
@pytest.mark.parametrize(
    "file", [f for f in FILES if os.path.splitext(os.path.basename(f))[0] in SHARE]
)
def test_some_scripts_hold_wherever_they_are_moved(file: str, execution: str) -> None:
    is_same_when_moved(file, execution, 40)


@pytest.mark.slow
@pytest.mark.parametrize("execution", PATHS)
@pytest.mark.parametrize("file", FILES)
def test_all_scripts_hold_wherever_they_are_moved(file: str, execution: str) -> None:
    is_same_when_moved(file, execution, 5000)
