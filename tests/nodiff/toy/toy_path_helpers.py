"""A third path, to see what adding one takes: this folder, and a row in ``chiwawa.paths``.

It steps functions as the interpreter does but, as translated code, can be entered at the safepoints
of its granularity alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from chiwawa.execution import Path, Prepared, Settings, Source
from chiwawa.interp.machine import InterpreterEngine
from chiwawa.lower.lowered import Spaces
from chiwawa.lower.sites import SitesOf
from chiwawa_runtime.state.types import ValType


class ToyEngine(InterpreterEngine):
    def boundary(self, function: int, offset: int) -> tuple[ValType, ...] | None:
        return self.suspension_points(function).operands(offset)


class Toy:
    name = "toy"
    enters_anywhere = False

    def prepare(
        self, source: Source, settings: Settings, sites_of: SitesOf | None = None
    ) -> Prepared:
        engine = ToyEngine(
            Spaces.of(source.module),
            everywhere=settings.everywhere,
            canonical_nans=settings.canonical_nans,
            sites_of=sites_of,
        )

        def fit(sites_of: SitesOf, names: Mapping[str, Any]) -> Callable[[], None]:
            engine.sites_of, engine.names = sites_of, names
            return engine.replace_code

        return Prepared(engine, fit)


PATH: Path = Toy()
