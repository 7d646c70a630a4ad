"""``bench.start`` and ``bench.end``, by which programs of the benchmark suite Sightglass say what
of them is to be timed. They are known by name; the times are said once the program has ended.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from chiwawa_runtime.command.reporting import say
from chiwawa_runtime.state.program import Program
from chiwawa_runtime.state.store import HostFunction
from chiwawa_runtime.state.types import DefType, FuncType

MODULE = "bench"
NOTHING = FuncType((), ())


class Bench:
    """What a program has had timed, in this process: what it began before a checkpoint is not known
    after it."""

    def __init__(self) -> None:
        self.begun: int | None = None
        #: Nanoseconds.
        self.spans: list[int] = []

    def start(self) -> None:
        self.begun = time.perf_counter_ns()

    def end(self) -> None:
        now = time.perf_counter_ns()
        if self.begun is not None:
            self.spans.append(now - self.begun)
            self.begun = None

    def imports(self) -> dict[str, dict[str, HostFunction]]:
        return {
            MODULE: {
                "start": HostFunction(NOTHING, self.start, "bench.start"),
                "end": HostFunction(NOTHING, self.end, "bench.end"),
            }
        }

    def report(self) -> None:
        for nanoseconds in self.spans:
            say(f"bench: {nanoseconds / 1e9:.9f} seconds")


def asks(programs: Sequence[Program]) -> bool:
    """Whether one of them has anything timed."""
    return any(
        spec.module == MODULE
        and spec.name in ("start", "end")
        and isinstance(spec.type, DefType)
        and spec.type.comp == NOTHING
        for program in programs
        for spec in program.imports
    )
