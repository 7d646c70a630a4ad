"""Who can run a program: the contract of what the command is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

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

    def check_modules(self, snapshot: Snapshot) -> None:
        """Raises CheckpointError where a module is missing that an instance of ``snapshot`` is
        of."""

    def restore(self, snapshot: Snapshot, setup: Setup) -> Run: ...
