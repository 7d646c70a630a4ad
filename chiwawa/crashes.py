"""The state before the instruction at which a run ended.

A trap leaves nothing to be read: operands are gone, and machine code keeps no frames. So the last
stretch is run again, from a checkpoint that was kept, with the host's calls given back: on the path
that it ran on up to the last safepoint before the end, and from there instruction by instruction,
which every path has the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from chiwawa import paths, restoring, running
from chiwawa.execution import Source
from chiwawa_runtime.errors import CheckpointError, UnsupportedError
from chiwawa_runtime.run.flight import (
    BeforeEnd,
    at_last_safepoint,
    count_from_here,
    ended,
    passed_from,
)
from chiwawa_runtime.run.host_calls import HostCalls, Standing
from chiwawa_runtime.run.instance import Run
from chiwawa_runtime.run.starting import Setup
from chiwawa_runtime.state.snapshot import Snapshot

#: Between two safepoints are fewer instructions than this, or the run has not ended there.
MOST = 1_000_000


def before_end(
    sources: Sequence[Source],
    snapshot: Snapshot,
    calls: HostCalls,
    setup: Setup,
    more: int,
    at_safepoint: bool,
) -> BeforeEnd:
    """See ``flight.Returning``. ``sources`` are what the run's instance is of, and then what those
    are of that are linked with it."""

    def restore(snapshot: Snapshot, setup: Setup) -> Run:
        return restoring.restore(sources[0], snapshot, setup, modules=sources[1:])

    stepping = replace(setup, path=paths.entering_anywhere(), granularity="instruction")
    begun = Standing(calls.position, calls.order)
    setup = replace(setup, path=path_of_all(sources, setup))
    try:
        snapshot, standing = at_last_safepoint(restore, snapshot, calls, setup, more)
    except (CheckpointError, UnsupportedError):
        if setup.path == stepping.path:
            raise
        # Linked instances may be on several paths, and machine code cannot stop everywhere.
        setup = replace(setup, path=stepping.path)
        calls = calls.again(begun)
        snapshot, standing = at_last_safepoint(restore, snapshot, calls, setup, more)
    if at_safepoint:
        return BeforeEnd(snapshot, standing)
    calls.stand(standing)
    run = restore(snapshot, replace(stepping, calls=calls))
    first = count_from_here(run, MOST)
    if not ended(run) or not run.failed:
        raise CheckpointError("run again, the program did not end there")
    passed = passed_from(run, first)
    if not passed:
        return BeforeEnd(snapshot, standing)
    again = calls.again(standing)
    run = restore(snapshot, replace(stepping, calls=again))
    count_from_here(run, passed)
    if ended(run):
        raise CheckpointError("run again, the program did something else")
    found = again.standing(run.instances())
    position = standing.position + found.position
    return BeforeEnd(run.snapshot(), Standing(position, found.order))


def path_of_all(sources: Sequence[Source], setup: Setup) -> str:
    """The path that ``setup`` asks for, as far as all ``sources`` can take it."""
    granularity = setup.granularity or "safepoint"
    found = [running.path_of(each, setup, granularity, None) for each in sources]
    name = min(found, key=paths.names().index)
    refused = any(paths.path(name).refusal(each, granularity) for each in sources)
    return paths.entering_anywhere() if refused else name
