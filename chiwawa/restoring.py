"""Runs from checkpoints, on any path, whichever wrote them."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from chiwawa import paths
from chiwawa.execution import Source
from chiwawa.running import make_probeable, path_of, prepare
from chiwawa_runtime.errors import UnsupportedError
from chiwawa_runtime.run import starting
from chiwawa_runtime.run.instance import Run
from chiwawa_runtime.run.starting import Setup
from chiwawa_runtime.run.uptake import not_given
from chiwawa_runtime.state.host_limits import ANY_SIZE
from chiwawa_runtime.state.snapshot import ArrayImage, Snapshot, StructImage

if TYPE_CHECKING:
    from chiwawa.instrument import Instruments

#: The reason with which a run is stopped so that another path can take it up.
HAND_OVER = "hand over"


def restore(
    source: Source,
    snapshot: Snapshot,
    setup: Setup,
    instruments: Instruments | None = None,
    modules: Sequence[Source] = (),
) -> Run:
    """The run that ``snapshot`` is of, not yet going on. ``modules`` are those of the instances
    that are linked with its own, in any order. Raises CheckpointError, UnlinkableError,
    ResourceError, UnsupportedError."""
    others = sources_of(snapshot, [source, *modules])
    objects = any(isinstance(each, StructImage | ArrayImage) for each in snapshot.objects)
    granularity = setup.granularity or snapshot.granularity
    name = path_of(source, setup, granularity, instruments, objects)
    if objects and not paths.path(name).objects:
        raise UnsupportedError(
            f"the {name} path holds no structures and arrays, which this checkpoint has"
        )
    nans = setup.canonical_nans
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
    stopped = {each.granularity for each in snapshot.instances}
    # Without frames it stands nowhere that a path could not enter.
    at_once = not snapshot.frames or stopped == {setup.granularity}
    if at_once or paths.path(setup.path).enters_anywhere:
        return taken_up(source, others, snapshot, setup, nans, instruments)
    # It may stand where the path cannot enter: another takes it on to the next safepoint.
    # What it passes there has no part in what it may spend.
    free = replace(setup.limits, fuel=None, time=None)
    elsewhere = replace(setup, path=paths.entering_anywhere(), limits=free)
    between = taken_up(source, others, snapshot, elsewhere, nans, instruments)
    between.requests.ask(HAND_OVER)
    between.go()
    if between.finished:
        return between
    # Probes may have wanted it to stop as well.
    asked = [reason for reason in between.requests.take() if reason != HAND_OVER]
    # Without instruments, it is only below that the program goes on uncounted.
    between.instance.wasi_states = []
    arrived = replace(between.snapshot(), monitors=snapshot.monitors, wasi=snapshot.wasi)
    if setup.limits.memory is None:
        # It has been looked at.
        setup = replace(setup, limits=replace(setup.limits, memory=ANY_SIZE))
    run = taken_up(source, others, arrived, setup, nans, instruments)
    for reason in asked:
        run.requests.ask(reason)
    return run


def sources_of(snapshot: Snapshot, given: Sequence[Source]) -> list[Source]:
    """Of ``given``, what the instances are of that are linked with the run's. Raises
    CheckpointError."""
    if not snapshot.others:
        return []
    known = {source.program.hash: source for source in given}
    for image in snapshot.others:
        if image.module_hash not in known:
            raise not_given(image)
    return [known[image.module_hash] for image in snapshot.others]


def taken_up(
    source: Source,
    others: Sequence[Source],
    snapshot: Snapshot,
    setup: Setup,
    nans: bool | None,
    instruments: Instruments | None,
) -> Run:
    """The run that ``snapshot`` is of, on a path that can enter it where it stands. ``nans`` is
    what all instances have of canonical NaNs; None: each what its image says."""
    assert setup.path is not None
    # Two that have nothing of each other may both have state of a third.
    linking = paths.path(setup.path).together() if others else contextlib.nullcontext()
    with linking:
        prepared = prepare(source, setup, instruments)
        linked = [
            prepare(
                other,
                replace(setup, canonical_nans=image.canonical_nans if nans is None else nans),
            )
            for other, image in zip(others, snapshot.others, strict=True)
        ]
        parts = [(other.program, each.engine) for other, each in zip(others, linked, strict=True)]
        run = starting.restore(source.program, prepared.engine, snapshot, setup, instruments, parts)
    make_probeable(run.instance, source, prepared)
    for instance, other, each in zip(run.beside, others, linked, strict=True):
        make_probeable(instance, other, each)
    return run
