"""The state before the instruction at which a run ended.

A trap leaves nothing to be read: operands are gone, and machine code keeps no frames. So the last
stretch is run again, from a checkpoint that was kept, with the host's calls given back: on the path
that it ran on up to the last safepoint before the end, and from there instruction by instruction,
which every path has the same.
"""

from __future__ import annotations

from dataclasses import replace

from chiwawa import paths, restoring
from chiwawa.execution import Source
from chiwawa_runtime.errors import Abrupt, CheckpointError, HostError
from chiwawa_runtime.run.host_calls import HostCalls, Standing
from chiwawa_runtime.run.instance import Run
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
    *,
    at_safepoint: bool = False,
) -> Snapshot:
    """The state before the instruction at which the run of ``snapshot`` ended, after it had passed
    ``more`` safepoints; or (``at_safepoint``) at the last one. ``calls`` gives it back what
    the host did, ``setup`` says how it ran. Raises CheckpointError where it does not come there
    again."""
    if more:
        run = restoring.restore(source, snapshot, replace(setup, calls=calls))
        run.requests.count_from(0, more)
        if ended(run) or run.requests.passed != more:
            raise CheckpointError("run again, the program did something else")
        snapshot = replace(run.snapshot(), wasi=snapshot.wasi)
    if at_safepoint:
        return snapshot
    stepping = replace(setup, path=paths.entering_anywhere(), granularity="instruction")
    standing = Standing(calls.position, calls.order)
    run = restoring.restore(source, snapshot, replace(stepping, calls=calls))
    run.requests.count_from(0, MOST)
    if not ended(run) or not failed(run):
        raise CheckpointError("run again, the program did not end there")
    passed = run.requests.passed
    if not passed:
        return snapshot
    run = restoring.restore(source, snapshot, replace(stepping, calls=calls.again(standing)))
    run.requests.count_from(0, passed)
    if ended(run):
        raise CheckpointError("run again, the program did something else")
    return run.snapshot()


def ended(run: Run) -> bool:
    """Go on; whether it has ended, however that was."""
    try:
        return run.go()
    except (Abrupt, HostError):
        return True


def failed(run: Run) -> bool:
    return run.finished and run.failed
