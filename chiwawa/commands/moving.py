"""Scripts that are moved to other paths at so many boundaries of theirs, and which move of those
makes them fail."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from os import PathLike

from chiwawa import paths
from chiwawa.commands.torture import NOWHERE, Stops, at
from chiwawa.commands.wast import Culprit, Report, run_script
from chiwawa_runtime.state.host_limits import UNLIMITED, Limits


def run_spread(
    file: str | PathLike[str],
    executions: Sequence[str],
    stops: int,
    limits: Limits = UNLIMITED,
) -> Iterator[Report]:
    """On each path a report as that of ``run_moved``, with so many stops spread evenly over all
    boundaries that the script passes there; with one at each, where it passes no more. Raises what
    ``run_script`` does."""
    counts: dict[str, int] = {}
    for execution in executions:
        finest = paths.path(execution).granularities[-1]
        if finest not in counts:
            counts[finest] = run_script(file, execution, NOWHERE, None, limits).boundaries or 0
        yield run_moved(file, execution, Stops(stops, max(stops, counts[finest])), limits)


def run_moved(
    file: str | PathLike[str], execution: str, stops: Stops, limits: Limits = UNLIMITED
) -> Report:
    """The report of a script that is moved at those, with the culprit, if it fails where it does
    not when nothing moves. Raises what ``run_script`` does."""
    report = run_script(file, execution, stops, None, limits)
    if not report.failures:
        return report
    known = lines_of(run_script(file, execution, None, None, limits))
    if not lines_of(report) <= known:
        report.culprit = find_culprit(file, report, stops, known, limits)
    return report


def lines_of(report: Report) -> set[int]:
    """Of what has failed."""
    return {failure.line for failure in report.failures}


def find_culprit(
    file: str | PathLike[str], report: Report, stops: Stops, known: set[int], limits: Limits
) -> Culprit | None:
    """With the fewest moves from the first on, the last of those with which something fails that is
    not at lines ``known``, as it does in ``report``. None where it does so without any."""
    # It holds with so many, and does not with that many.
    fewest, most = -1, report.stops or 0
    first = report
    while most - fewest > 1:
        middle = (fewest + most) // 2
        some = run_script(file, report.execution, replace(stops, most=middle), None, limits)
        if lines_of(some) <= known:
            fewest = middle
        else:
            most, first = middle, some
    moves = [f.moved for f in first.failures if f.line not in known and f.moved is not None]
    if not most or not moves:
        return None
    move = moves[-1]
    alone = run_script(file, move.before, at(move.boundary), move.after, limits)
    return Culprit(move, not lines_of(alone) <= known)
