"""Runs from checkpoints, on any path, whichever wrote them."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from chiwawa import paths
from chiwawa.execution import Source
from chiwawa.running import make_probeable, path_of, prepare
from chiwawa_runtime.run import starting
from chiwawa_runtime.run.driver import Run
from chiwawa_runtime.run.starting import Setup
from chiwawa_runtime.state.snapshot import Snapshot

if TYPE_CHECKING:
    from chiwawa.instrument import Instruments

#: The reason with which a run is stopped so that another path can take it up.
HAND_OVER = "hand over"


def restore(
    source: Source, snapshot: Snapshot, setup: Setup, instruments: Instruments | None = None
) -> Run:
    """The run that ``snapshot`` is of, not yet going on. Raises CheckpointError, UnlinkableError,
    ResourceError."""
    name = path_of(source, setup, setup.granularity or snapshot.granularity, instruments)
    granularity = snapshot.granularity
    if granularity not in paths.path(name).granularities:
        granularity = "safepoint"
    setup = replace(
        setup,
        path=name,
        granularity=setup.granularity or granularity,
        canonical_nans=(
            snapshot.canonical_nans if setup.canonical_nans is None else setup.canonical_nans
        ),
        carry=setup.carried(snapshot),
        trust_host_state=False,
    )
    if instruments is not None:
        instruments.load(snapshot.monitors)
    assert setup.path is not None
    if snapshot.granularity == setup.granularity or paths.path(setup.path).enters_anywhere:
        return taken_up(source, snapshot, setup, instruments)
    # It may stand where the path cannot enter: another takes it on to the next safepoint.
    between = taken_up(
        source, snapshot, replace(setup, path=paths.entering_anywhere()), instruments
    )
    between.requests.ask(HAND_OVER)
    between.go()
    if between.finished:
        return between
    # Probes may have wanted it to stop as well.
    asked = [reason for reason in between.requests.take() if reason != HAND_OVER]
    # Without instruments, it is only below that the program goes on uncounted.
    between.wasi = None
    arrived = replace(between.snapshot(), monitors=snapshot.monitors, wasi=snapshot.wasi)
    run = taken_up(source, arrived, replace(setup, max_memory=sys.maxsize), instruments)
    for reason in asked:
        run.requests.ask(reason)
    return run


def taken_up(
    source: Source, snapshot: Snapshot, setup: Setup, instruments: Instruments | None
) -> Run:
    """The run that ``snapshot`` is of, on a path that can enter it where it stands."""
    prepared = prepare(source, setup, instruments)
    run = starting.restore(source.program, prepared.engine, snapshot, setup, instruments)
    make_probeable(run.instance, source, prepared)
    return run
