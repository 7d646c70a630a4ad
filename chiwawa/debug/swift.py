"""Running where nobody looks: on a path that counts boundaries, and stops at safepoints."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import partial
from typing import Any

from chiwawa import paths
from chiwawa.execution import Settings, Source
from chiwawa.lower.lowered import Spaces, lower
from chiwawa_runtime.engine.instance import Imports
from chiwawa_runtime.engine.requests import BY_STOP
from chiwawa_runtime.errors import UnsupportedError
from chiwawa_runtime.run import starting, uptake
from chiwawa_runtime.run.instance import Instance, Run
from chiwawa_runtime.run.starting import Setup
from chiwawa_runtime.state.program import Program
from chiwawa_runtime.state.snapshot import Snapshot

_SETTINGS = Settings("instruction", canonical_nans=True, sparse=True)


def stepping_path(name: str) -> str:
    """The path on which a program is stepped that runs on ``name``: on another, where instruments
    cannot look at it. That has little to run, and may begin anywhere: the first that can takes up
    deep frames of large functions soonest."""
    return name if paths.path(name).instruments else paths.entering_anywhere()


class Swift:
    """A ``Runner`` (see ``chiwawa_runtime.command.runner``) on the path ``name``, without
    instruments. Its checkpoints are those of any path at the same boundary. Raises UnsupportedError
    where the path cannot run ``source``."""

    def __init__(self, source: Source, name: str) -> None:
        self.source = source
        self.name = name
        self.path = paths.path(name)
        self.paths: Sequence[str] = (name,)
        self.spaces = Spaces.of(source.module)
        self.offsets: dict[int, frozenset[int]] = {}
        #: The functions that are to stop where they begin.
        self.armed: frozenset[int] = frozenset()
        refusal = self.path.refusal(source, "safepoint")
        if refusal is not None:
            raise UnsupportedError(refusal)

    @property
    def program(self) -> Program:
        return self.source.program

    @property
    def others(self) -> Sequence[Program]:
        return ()

    def preload(
        self, setup: Setup, making: contextlib.ExitStack
    ) -> tuple[Imports, Sequence[Instance]]:
        return setup.imports, ()

    def start(self, name: str | None, args: Sequence[Any], setup: Setup) -> Run:
        engine = self.path.prepare(self.source, _SETTINGS).engine
        return starting.start(self.program, engine, name, args, setup)

    def check_modules(self, snapshot: Snapshot) -> None:
        uptake.check_modules(snapshot, [self.program])

    def restore(self, snapshot: Snapshot, setup: Setup) -> Run:
        prepared = self.path.prepare(self.source, _SETTINGS)
        run = starting.restore(self.program, prepared.engine, snapshot, setup)
        if self.armed:
            assert prepared.arm is not None
            prepared.arm(self.armed, partial(run.requests.ask, BY_STOP))
        return run

    def stops_at(self, function: int, offset: int) -> bool:
        """Whether ``armed`` can have it stop there."""
        if not self.enters(function, offset):
            return False
        instr = self.spaces.module.funcs[function - self.spaces.imported_funcs].body[0]
        reaches_host = instr.op.indirect or (
            instr.op.calls and instr.imm[0] < self.spaces.imported_funcs
        )
        return instr.offset == offset and not (instr.op.loops or reaches_host)

    def enters(self, function: int, offset: int) -> bool:
        """Whether it can take on a run whose youngest frame is there."""
        offsets = self.offsets.get(function)
        if offsets is None:
            lowered = lower(self.spaces, function)
            offsets = frozenset(lowered.body[position].offset for position in lowered.safepoints)
            self.offsets[function] = offsets
        return offset in offsets
