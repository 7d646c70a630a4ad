"""The specification's test suite, moved to another path again and again: nothing changes."""

from __future__ import annotations

import os

import pytest

from chiwawa.commands.moving import lines_of, run_spread
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


def unmet(report: Report) -> set[tuple[int, str]]:
    return {(failure.line, failure.got) for failure in report.failures}


def is_same_when_moved(file: str, execution: str, stops: int) -> None:
    """Moved at so many boundaries, spread evenly; at all, where there are no more."""
    plain = run_script(SUITE / file, execution)
    (moved,) = run_spread(SUITE / file, [execution], stops)
    assert moved.culprit is None
    assert moved.boundaries is not None
    if execution in IN_PYTHON:
        assert unmet(moved) == unmet(plain)
        assert moved.stops == min(stops, moved.boundaries)
    else:
        # What it refuses may be run where it was moved to, or fail there for want of what it has
        # refused before.
        assert lines_of(moved) <= lines_of(plain)


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
