"""Programs as instances and new runs, on any path."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from chiwawa import paths
from chiwawa.execution import Prepared, Settings, Source
from chiwawa_runtime.engine.instance import ModuleInstance
from chiwawa_runtime.run import starting
from chiwawa_runtime.run.instance import Instance, Run
from chiwawa_runtime.run.starting import Setup

if TYPE_CHECKING:
    from chiwawa.instrument import Instruments


def prepare(source: Source, setup: Setup, instruments: Instruments | None = None) -> Prepared:
    """An engine for one instance of ``source``, in which ``instruments`` look at it. What the setup
    leaves open is as ``source`` was compiled, and its ``default_path``. Raises ValueError for a
    path or a granularity that there is not."""
    compiled = source.compiled
    settings = Settings(
        compiled.granularity if setup.granularity is None else setup.granularity,
        compiled.canonical_nans if setup.canonical_nans is None else setup.canonical_nans,
        watched=setup.watched,
    )
    name = path_of(source, setup, settings.granularity, instruments)
    path = paths.path(name)
    if instruments is None:
        return path.prepare(source, settings)
    prepared = path.prepare(source, settings, instruments.sites_of)
    fit(prepared, instruments)
    return prepared


def path_of(
    source: Source,
    setup: Setup,
    granularity: str,
    instruments: Instruments | None,
    objects: bool = False,
) -> str:
    """The path that ``source`` is run on, with safepoints of ``granularity``: the one that the
    setup asks for, as far as ``instruments`` can look at it. With ``objects``, it has structures or
    arrays already. Raises ValueError where there is no such path."""
    name = setup.path or default_path(source)
    if name == paths.AUTO:
        candidates = [paths.path(each) for each in reversed(paths.names())]
        return next(
            path.name
            for path in candidates
            if (instruments is None or path.instruments)
            and (path.objects or not objects)
            and path.refusal(source, granularity) is None
        )
    return name if instruments is None else paths.looked_at(name)


def default_path(source: Source) -> str:
    """What has been translated, or rewritten, is not interpreted unless somebody wants it."""
    if source.rewritten is not None:
        return "native"
    return "interp" if source.translated is None else "aot"


def fit(prepared: Prepared, instruments: Instruments) -> None:
    """Have the engine run what ``instruments`` want, from when they say so."""
    assert prepared.fit is not None
    instruments.replace_code = prepared.fit(instruments.sites_of, instruments.names)


def make_probeable(instance: ModuleInstance, source: Source, prepared: Prepared) -> None:
    """Have the instance know what it is of, and how to get instruments, once it is asked for a
    probe."""
    instance.source = source

    def equip() -> Instruments:
        from chiwawa.instrument import Instruments

        instruments = Instruments(source.module)
        if prepared.hand_over is None:
            fit(prepared, instruments)
        else:
            succeed(prepared, source, instruments)
        return instruments

    instance.equip = equip


def succeed(prepared: Prepared, source: Source, instruments: Instruments) -> None:
    """Have an engine that instruments can look at take the place of one whose functions they
    cannot, when they want something for the first time."""
    hand_over = prepared.hand_over
    assert hand_over is not None
    engine = prepared.engine
    settings = Settings(engine.granularity, engine.canonical_nans)
    path = paths.path(paths.entering_anywhere())
    successor = path.prepare(source, settings, instruments.sites_of)
    fit(successor, instruments)
    ask_anew = instruments.replace_code

    def first() -> None:
        hand_over(successor.engine)
        instruments.replace_code = ask_anew
        ask_anew()

    instruments.replace_code = first


def instantiate(source: Source, setup: Setup, instruments: Instruments | None = None) -> Instance:
    """An instance whose start function has run. Raises UnlinkableError and Trap."""
    prepared = prepare(source, setup, instruments)
    instance = starting.instantiate(source.program, prepared.engine, setup, instruments)
    make_probeable(instance, source, prepared)
    return instance


def start(
    source: Source,
    name: str | None,
    args: Sequence[Any],
    setup: Setup,
    instruments: Instruments | None = None,
) -> Run:
    """A run, not begun, of the start function and then the exported function ``name`` (None: of the
    start function alone). Raises UnlinkableError, Trap, and what ``Instance.prepared`` raises."""
    prepared = prepare(source, setup, instruments)
    run = starting.start(source.program, prepared.engine, name, args, setup, instruments)
    make_probeable(run.instance, source, prepared)
    return run
