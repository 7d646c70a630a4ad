"""The state before the instruction at which a run ended.

A trap leaves nothing to be read: operands are gone, and machine code keeps no frames. So the last
stretch is run again, from a checkpoint that was kept, with the host's calls given back: on the path
that it ran on up to the last safepoint before the end, and from there instruction by instruction,
which every path has the same.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from chiwawa import paths, restoring
from chiwawa.execution import Source
from chiwawa_runtime.errors import CheckpointError
from chiwawa_runtime.run.flight import BeforeEnd, at_last_safepoint, ended
from chiwawa_runtime.run.host_calls import HostCalls, Standing
from chiwawa_runtime.run.starting import Setup
from chiwawa_runtime.state.snapshot import Snapshot

#: Between two safepoints are fewer instructions than this, or the run has not ended there.
MOST = 1_000_000


def before_end(
    source: Source,
    snapshot: Snapshot,
    calls: HostCalls,
    setup: Setup,
    more: int,
    at_safepoint: bool,
) -> BeforeEnd:
    """See ``flight.Returning``."""
    restore = partial(restoring.restore, source)
    snapshot = at_last_safepoint(restore, snapshot, calls, setup, more)
    if at_safepoint:
        return BeforeEnd(snapshot, calls.position)
    stepping = replace(setup, path=paths.entering_anywhere(), granularity="instruction")
    standing = Standing(calls.position, calls.order)
    run = restore(snapshot, replace(stepping, calls=calls))
    run.requests.count_from(0, MOST)
    if not ended(run) or not run.failed:
        raise CheckpointError("run again, the program did not end there")
    passed = run.requests.passed
    if not passed:
        return BeforeEnd(snapshot, standing.position)
    again = calls.again(standing)
    run = restore(snapshot, replace(stepping, calls=again))
    run.requests.count_from(0, passed)
    if ended(run):
        raise CheckpointError("run again, the program did something else")
    return BeforeEnd(run.snapshot(), standing.position + again.position)
