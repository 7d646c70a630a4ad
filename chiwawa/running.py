"""Programs as instances and new runs, on any path."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from chiwawa import paths
from chiwawa.execution import Prepared, Settings, Source
from chiwawa_runtime.engine.instance import ModuleInstance
from chiwawa_runtime.run import starting
from chiwawa_runtime.run.driver import Instance, Run
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
    )
    path = paths.path(setup.path or default_path(source))
    prepared = path.prepare(source, settings, None if instruments is None else instruments.sites_of)
    if instruments is not None:
        fit(prepared, instruments)
    return prepared


def default_path(source: Source) -> str:
    """What has been translated, or rewritten, is not interpreted unless somebody wants it."""
    if source.rewritten is not None:
        return "native"
    return "interp" if source.translated is None else "aot"


def fit(prepared: Prepared, instruments: Instruments) -> None:
    """Have the engine run what ``instruments`` want, from when they say so."""
    instruments.replace_code = prepared.fit(instruments.sites_of, instruments.names)


def make_probeable(instance: ModuleInstance, source: Source, prepared: Prepared) -> None:
    """Have the instance know how to get instruments, once it is asked for a probe."""

    def equip() -> Instruments:
        from chiwawa.instrument import Instruments

        instruments = Instruments(source.module)
        fit(prepared, instruments)
        return instruments

    instance.equip = equip


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
