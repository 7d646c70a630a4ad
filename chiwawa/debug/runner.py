"""What starts and restores the program for the debugger: with instruments, for their probes, and
with canonical NaNs, since it must compute the same when it is run again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chiwawa import api
from chiwawa.instrument import Instruments
from chiwawa.module import Module
from chiwawa.program import program_of
from chiwawa_runtime.driver import Run
from chiwawa_runtime.instance import Imports
from chiwawa_runtime.snapshot import Snapshot
from chiwawa_runtime.wasi import Wasi


class Probing:
    """A ``chiwawa_runtime.main.Runner``. ``instruments`` look at the run that was made last."""

    paths = api.PATHS
    granularity = "instruction"
    canonical_nans = True

    def __init__(self, module: Module) -> None:
        self.module = module
        self.program = program_of(module)
        self.instruments = Instruments(module)

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
        self.instruments = Instruments(self.module)
        return api.start(
            self.module,
            name,
            args,
            imports,
            path=path,
            granularity=granularity,
            canonical_nans=canonical_nans,
            wasi=wasi,
            count=count,
            instruments=self.instruments,
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
    ) -> Run:
        self.instruments = Instruments(self.module)
        return api.restore(
            self.module,
            snapshot,
            imports,
            path=path,
            granularity=granularity,
            canonical_nans=self.canonical_nans,
            wasi=wasi,
            trust_host_state=trust_host_state,
            instruments=self.instruments,
        )
