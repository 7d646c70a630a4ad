"""What runs a program with everything that there is, on any path.

It is the ``Runner`` that ``chiwawa run`` and the debugger bring to the runtime's command.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from chiwawa import paths, restoring, running
from chiwawa.execution import Source
from chiwawa_runtime.command.beginning import preloaded
from chiwawa_runtime.command.reporting import say
from chiwawa_runtime.engine.instance import Imports
from chiwawa_runtime.run import uptake
from chiwawa_runtime.run.flight import BeforeEnd
from chiwawa_runtime.run.host_calls import HostCalls
from chiwawa_runtime.run.instance import Instance, Run
from chiwawa_runtime.run.starting import Setup
from chiwawa_runtime.state.program import Program
from chiwawa_runtime.state.snapshot import Snapshot

if TYPE_CHECKING:
    from chiwawa.instrument import Instruments


class Toolchain:
    """A ``Runner`` (see ``chiwawa_runtime.command.runner``). ``equip`` gives the instruments of
    each run that is made. Where ``canonical_nans`` is given, every run has it so, also one that is
    restored; otherwise it is as the file was compiled, and as the checkpoint says. ``linked`` are
    the modules of instances that a checkpoint has beside the program's, and ``preloads`` those of
    which a new run has an instance each, under a name that the program imports them by."""

    def __init__(
        self,
        source: Source,
        equip: Callable[[], Instruments | None] = lambda: None,
        canonical_nans: bool | None = None,
        linked: Sequence[Source] = (),
        preloads: Sequence[tuple[str, Source]] = (),
    ) -> None:
        self.source = source
        self.preloads = preloads
        #: A checkpoint says itself what imports what of which.
        self.linked = [*(each for _, each in preloads), *linked]
        self.equip = equip
        self.canonical_nans = canonical_nans
        default = running.default_path(source)
        self.paths = (default, *(name for name in paths.names() if name != default), paths.AUTO)

    @property
    def program(self) -> Program:
        return self.source.program

    @property
    def others(self) -> Sequence[Program]:
        return [each.program for each in self.linked]

    def preload(
        self, setup: Setup, making: contextlib.ExitStack
    ) -> tuple[Imports, Sequence[Instance]]:
        if not self.preloads:
            return setup.imports, ()
        compiled = self.source.compiled
        granularity = setup.granularity or compiled.granularity
        canonical_nans = (
            self.canonical_nans if setup.canonical_nans is None else setup.canonical_nans
        )
        setup = replace(
            setup,
            path=self.taken(setup, granularity, self.equip()),
            granularity=granularity,
            canonical_nans=compiled.canonical_nans if canonical_nans is None else canonical_nans,
        )
        assert setup.path is not None
        making.enter_context(paths.path(setup.path).together())
        made = [
            (name, source.program, partial(running.instantiate, source))
            for name, source in self.preloads
        ]
        return preloaded(made, setup)

    def start(self, name: str | None, args: Sequence[Any], setup: Setup) -> Run:
        if setup.canonical_nans is None:
            setup = replace(setup, canonical_nans=self.canonical_nans)
        instruments = self.equip()
        setup = self.on_path(setup, setup.granularity, instruments)
        return running.start(self.source, name, args, setup, instruments)

    def check_modules(self, snapshot: Snapshot) -> None:
        uptake.check_module(snapshot, self.program.hash)
        restoring.sources_of(snapshot, [self.source, *self.linked])

    def restore(self, snapshot: Snapshot, setup: Setup) -> Run:
        setup = replace(setup, canonical_nans=self.canonical_nans)
        instruments = self.equip()
        granularity = setup.granularity or snapshot.granularity
        setup = self.on_path(setup, granularity, instruments)
        return restoring.restore(self.source, snapshot, setup, instruments, self.linked)

    def taken(self, setup: Setup, granularity: str, instruments: Instruments | None) -> str:
        """The path that is taken: the one that all can take that are linked from the start."""
        sources = [self.source, *(each for _, each in self.preloads)]
        found = [running.path_of(each, setup, granularity, instruments) for each in sources]
        return min(found, key=paths.names().index)

    def before_end(
        self,
        snapshot: Snapshot,
        calls: HostCalls,
        setup: Setup,
        more: int,
        at_safepoint: bool,
    ) -> BeforeEnd:
        """See ``flight.Returning``."""
        from chiwawa.crashes import before_end

        sources = [self.source, *self.linked]
        return before_end(sources, snapshot, calls, setup, more, at_safepoint)

    def on_path(
        self, setup: Setup, granularity: str | None, instruments: Instruments | None
    ) -> Setup:
        """``setup`` with the path that is taken. Says which, where it is not the one that was asked
        for."""
        granularity = granularity or self.source.compiled.granularity
        taken = self.taken(setup, granularity, instruments)
        if setup.path == paths.AUTO:
            fastest = paths.path(paths.names()[-1])
            sources = [self.source, *(each for _, each in self.preloads)]
            reasons = (fastest.refusal(each, granularity) for each in sources)
            reason = next(filter(None, reasons), None)
            say(f"running on the path {taken}" + (f": {reason}" if reason else ""))
        elif setup.path is not None and taken != setup.path:
            say(f"traces and monitors cannot look at the path {setup.path}: it runs on {taken}")
        return replace(setup, path=taken)
