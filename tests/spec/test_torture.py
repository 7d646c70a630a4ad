"""The specification's test suite, moved to another path again and again: nothing changes."""

from __future__ import annotations

from itertools import chain, cycle
from pathlib import Path

import pytest

from chiwawa.commands.moving import lines_of, run_spread
from chiwawa.commands.wast import Report, run_script
from chiwawa_runtime.state.host_limits import Limits
from tests.path_helpers import IN_PYTHON, PATHS
from tests.spec.suite_helpers import FILES, SUITE

pytestmark = pytest.mark.needs("testsuite")

#: Of what the ordinary run moves, by what it is about. Tail calls pass too many boundaries in the
#: suite; ``tests/unit/test_wast.py`` has some.
SHARE = {
    "control, calls and numbers": ("block", "br_table", "left-to-right", "select", "unwind"),
    "linked instances": ("imports", "linking", "start"),
    "tables and segments": ("bulk", "data", "elem", "global", "ref_func", "table_grow"),
    "memories": ("memory_grow", "memory_size1", "load1", "memory-multi"),
    "64-bit addresses": ("bulk64", "endianness64", "table_get64"),
    "vectors": ("simd_lane", "simd_load16_lane", "simd_select", "relaxed_madd_nmadd"),
    "exceptions": ("tag", "throw_ref", "try_table"),
    "typed references": ("br_on_null", "local_init", "ref_as_non_null"),
    "garbage collection": ("array_copy", "br_on_cast", "extern", "i31", "struct", "type-rec"),
}


def unmet(report: Report) -> set[tuple[int, str]]:
    return {(failure.line, failure.got) for failure in report.failures}


#: Some run until the stack is exhausted. At its full depth, each stop there takes seconds.
DEPTH = Limits(depth=1000)


def is_same_when_moved(file: str, execution: str, stops: int) -> None:
    """Moved at so many boundaries, spread evenly; at all, where there are no more."""
    plain = run_script(SUITE / file, execution, limits=DEPTH)
    (moved,) = run_spread(SUITE / file, [execution], stops, DEPTH)
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
    "file", [f for f in FILES if Path(f).stem in chain.from_iterable(SHARE.values())]
)
def test_some_scripts_hold_wherever_they_are_moved(file: str, execution: str) -> None:
    is_same_when_moved(file, execution, 12)


@pytest.mark.slow
@pytest.mark.parametrize(("file", "execution"), list(zip(FILES[::5], cycle(PATHS), strict=False)))
def test_more_scripts_hold_wherever_they_are_moved(file: str, execution: str) -> None:
    """Every fifth script, each from one of the paths. All of them at thousands of boundaries, and
    from each path, take hours, by hand."""
    is_same_when_moved(file, execution, 10)
