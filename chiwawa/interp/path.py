"""The path ``interp``: functions are decoded, prepared when they are first called, and stepped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from chiwawa.execution import GRANULARITIES, Path, Prepared, Settings, Source
from chiwawa.interp.machine import InterpreterEngine
from chiwawa.lower.lowered import Spaces
from chiwawa.lower.sites import SitesOf


class Interpreted:
    name = "interp"
    enters_anywhere = True
    granularities: tuple[str, ...] = GRANULARITIES
    instruments = True
    objects = True
    engine_type: type[InterpreterEngine] = InterpreterEngine

    def refusal(self, source: Source, granularity: str) -> str | None:
        return None

    def together(self) -> AbstractContextManager[object]:
        return nullcontext()

    def lacks(self) -> str | None:
        return None

    def prepare(
        self, source: Source, settings: Settings, sites_of: SitesOf | None = None
    ) -> Prepared:
        engine = self.engine_type(
            Spaces.of(source.module),
            everywhere=settings.everywhere,
            canonical_nans=settings.canonical_nans,
            sites_of=sites_of,
        )

        def fit(sites_of: SitesOf, names: Mapping[str, Any]) -> Callable[[], None]:
            engine.sites_of, engine.names = sites_of, names
            return engine.replace_code

        return Prepared(engine, fit)


PATH: Path = Interpreted()
