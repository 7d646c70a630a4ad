"""The path ``aot``: functions are translated to Python, or have been, to a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

# The package loads the translator when it is first asked for: a generated file runs without it.
from chiwawa import aot
from chiwawa.cache import NO_CACHE, Cache
from chiwawa.execution import GRANULARITIES, Path, Prepared, Settings, Source
from chiwawa.lower.sites import SitesOf
from chiwawa.module import Module
from chiwawa.program import program_of
from chiwawa_runtime.engine.generated import GeneratedEngine
from chiwawa_runtime.engine.translation import Bundle


class Translated:
    name = "aot"
    # A generator can go on only where it was written to.
    enters_anywhere = False
    granularities: tuple[str, ...] = GRANULARITIES
    instruments = True
    objects = True

    def refusal(self, source: Source, granularity: str) -> str | None:
        return None

    def together(self) -> AbstractContextManager[object]:
        return nullcontext()

    def lacks(self) -> str | None:
        return None

    def prepare(
        self, source: Source, settings: Settings, sites_of: SitesOf | None = None
    ) -> Prepared:
        if sites_of is not None:
            bundle = fresh(source, settings, sites_of)
        elif source.translated is not None and source.compiled == settings:
            bundle = source.translated
        else:
            bundle = translation(source.module, settings, cache=source.cache)
        engine = GeneratedEngine(bundle)

        def fit(sites_of: SitesOf, names: Mapping[str, Any]) -> Callable[[], None]:
            engine.namespace.update(names)
            return lambda: engine.replace_code(fresh(source, settings, sites_of))

        return Prepared(engine, fit)


def fresh(source: Source, settings: Settings, sites_of: SitesOf) -> Bundle:
    """A translation with what instruments want in it."""
    return aot.translate_on_demand(
        source.module,
        source.program,
        granularity=settings.granularity,
        canonical_nans=settings.canonical_nans,
        sites_of=sites_of,
    )


def translation(
    module: Module, settings: Settings, polls: bool = True, cache: Cache = NO_CACHE
) -> Bundle:
    """The translation of ``module``, in memory, made function by function as they are called. It
    is kept as long as the module is. ``polls`` False leaves the safepoints out: only to measure
    what they cost. ``cache`` may have some of it."""
    return module.once(
        ("translation", settings, polls),
        lambda: aot.translate_on_demand(
            module,
            program_of(module),
            granularity=settings.granularity,
            canonical_nans=settings.canonical_nans,
            polls=polls,
            cache=cache,
        ),
    )


PATH: Path = Translated()
