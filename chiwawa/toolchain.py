"""What runs a program with everything that there is, on either path.

It is the ``Runner`` that ``chiwawa run`` and the debugger bring to the runtime's command.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from chiwawa import api
from chiwawa.api import Runnable
from chiwawa.program import program_of
from chiwawa_runtime.engine.instance import Imports
from chiwawa_runtime.engine.translation import Bundle
from chiwawa_runtime.run.driver import Run
from chiwawa_runtime.state.program import Program
from chiwawa_runtime.state.snapshot import Snapshot
from chiwawa_runtime.wasi import Wasi

if TYPE_CHECKING:
    from chiwawa.instrument import Instruments


class Toolchain:
    """A ``Runner`` (see ``command.main``). ``equip`` gives the instruments of each run that is
    made. Where ``canonical_nans`` is given, every run has it so, also one that is restored;
    otherwise it is as the file was compiled, and as the checkpoint says."""

    def __init__(
        self,
        source: Runnable,
        equip: Callable[[], Instruments | None] = lambda: None,
        canonical_nans: bool | None = None,
    ) -> None:
        self.source = source
        self.equip = equip
        self.restored_nans = canonical_nans
        if isinstance(source, Bundle):
            self.program: Program = source.program
            self.paths: Sequence[str] = ("aot", "interp")
            self.granularity = source.granularity
            compiled = source.canonical_nans
        else:
            self.program = program_of(source)
            self.paths = ("interp", "aot")
            self.granularity = "safepoint"
            compiled = False
        self.canonical_nans = compiled if canonical_nans is None else canonical_nans

    def start(
        self,
        name: str | None,
        args: Sequence[Any],
        imports: Imports,
        *,
        path: str,
        granularity: str,
        canonical_nans: bool,
        wasi: Wasi | None,
        count: int | None,
    ) -> Run:
        return api.start(
            self.source,
            name,
            args,
            imports,
            path=path,
            granularity=granularity,
            canonical_nans=canonical_nans,
            wasi=wasi,
            count=count,
            instruments=self.equip(),
        )

    def restore(
        self,
        snapshot: Snapshot,
        imports: Imports,
        *,
        path: str,
        granularity: str | None,
        wasi: Wasi | None,
        trust_host_state: bool,
        max_memory: int | None,
    ) -> Run:
        return api.restore(
            self.source,
            snapshot,
            imports,
            path=path,
            granularity=granularity,
            canonical_nans=self.restored_nans,
            wasi=wasi,
            trust_host_state=trust_host_state,
            max_memory=max_memory,
            instruments=self.equip(),
        )
