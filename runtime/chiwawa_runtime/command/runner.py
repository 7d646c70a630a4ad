"""Who can run a program: the contract of what the command is given, and a generated file alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from chiwawa_runtime.command.options import UsageError
from chiwawa_runtime.engine.generated import GeneratedEngine
from chiwawa_runtime.engine.translation import Bundle
from chiwawa_runtime.errors import CheckpointError
from chiwawa_runtime.run import starting
from chiwawa_runtime.run.driver import Run
from chiwawa_runtime.run.starting import Setup
from chiwawa_runtime.state.program import Program
from chiwawa_runtime.state.snapshot import Snapshot


class Runner(Protocol):
    """What can run a program. ``paths`` has the default first. ``start`` and ``restore`` raise what
    those of ``run.starting`` do, and UsageError for a setup that it cannot have."""

    @property
    def program(self) -> Program: ...
    @property
    def paths(self) -> Sequence[str]: ...

    def start(self, name: str | None, args: Sequence[Any], setup: Setup) -> Run: ...

    def restore(self, snapshot: Snapshot, setup: Setup) -> Run: ...


class FileRunner:
    """A generated file that has nothing but itself and this package."""

    paths = ("aot",)

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.program = bundle.program

    def check(self, granularity: str | None) -> None:
        compiled = self.bundle.granularity
        if granularity not in (None, compiled):
            raise UsageError(
                f"this file was compiled with --granularity {compiled}: "
                f"another takes chiwawa run FILE"
            )

    def start(self, name: str | None, args: Sequence[Any], setup: Setup) -> Run:
        self.check(setup.granularity)
        if setup.canonical_nans not in (None, self.bundle.canonical_nans):
            raise UsageError(
                "this file was compiled without --deterministic: "
                "chiwawa run FILE --deterministic, or chiwawa compile --deterministic"
            )
        return starting.start(self.program, GeneratedEngine(self.bundle), name, args, setup)

    def restore(self, snapshot: Snapshot, setup: Setup) -> Run:
        self.check(setup.granularity)
        compiled = self.bundle.canonical_nans
        if snapshot.canonical_nans != compiled:
            was, is_ = ("with", "without") if snapshot.canonical_nans else ("without", "with")
            raise CheckpointError(
                f"the program was run {was} --deterministic, and this file was compiled {is_} it: "
                "chiwawa run FILE --restore can take it on from there"
            )
        engine = GeneratedEngine(self.bundle)
        youngest = snapshot.frames[0] if snapshot.frames else None
        if youngest is not None and snapshot.granularity != self.bundle.granularity:
            imported = len(self.program.functions) - len(self.bundle.codes)
            known = imported <= youngest.function < len(self.program.functions)
            if known and engine.boundary(youngest.function, youngest.offset) is None:
                raise CheckpointError(
                    "the program was stopped between two safepoints of this file: "
                    "chiwawa run FILE --restore can take it on from there"
                )
        return starting.restore(self.program, engine, snapshot, setup)
