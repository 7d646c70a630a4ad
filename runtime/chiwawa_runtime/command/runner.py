"""Who can run a program: the contract of what the command is given."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, Protocol

from chiwawa_runtime.engine.instance import Imports
from chiwawa_runtime.run.flight import BeforeEnd
from chiwawa_runtime.run.host_calls import HostCalls
from chiwawa_runtime.run.instance import Instance, Run
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

    @property
    def others(self) -> Sequence[Program]:
        """What else has instances: before the program's, or linked with it in a checkpoint."""

    def preload(
        self, setup: Setup, making: contextlib.ExitStack
    ) -> tuple[Imports, Sequence[Instance]]:
        """New instances of what is to be there before the program, each of which may import of
        those before it; the imports of ``setup``, with what they export; and they. ``making`` is
        given what is to hold until the program's own instance has been made."""

    def start(self, name: str | None, args: Sequence[Any], setup: Setup) -> Run: ...

    def check_modules(self, snapshot: Snapshot) -> None:
        """Raises CheckpointError where a module is missing that an instance of ``snapshot`` is
        of."""

    def restore(self, snapshot: Snapshot, setup: Setup) -> Run: ...


class CommandRunner(Runner, Protocol):
    """What the command runs: it can stand before the end of a run once more, too."""

    def before_end(
        self, snapshot: Snapshot, calls: HostCalls, setup: Setup, more: int, at_safepoint: bool
    ) -> BeforeEnd:
        """See ``flight.Returning``."""
