"""A module's translation in memory, function by function, each when it is first called.

It is what a generated file would be, without the file: a large program starts at once, and
instruments get functions of their own without anything else being translated. What was translated
before may be in the cache.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from types import CodeType

from chiwawa.aot.emit import Writer
from chiwawa.aot.function import Translated, translate_function
from chiwawa.aot.kept import Kept
from chiwawa.aot.options import Options, options_for
from chiwawa.cache import NO_CACHE, Cache
from chiwawa.lower.points import points_of
from chiwawa.lower.sites import SitesOf
from chiwawa.module import Module
from chiwawa.validated import is_kept
from chiwawa_runtime.engine.code_rows import WrittenCode
from chiwawa_runtime.engine.deferred import Deferred
from chiwawa_runtime.engine.translation import Bundle, Code
from chiwawa_runtime.state.program import Program, SuspensionPoints


class Translation:
    """A function that is translated when something needs to know more than its name, and ``kept``
    has nothing of it."""

    def __init__(
        self,
        index: int,
        options: Options,
        sites_of: SitesOf | None,
        filename: str,
        kept: Kept | None,
    ) -> None:
        self.index = index
        self.options = options
        self.sites_of = sites_of
        self.kept = kept
        self.generator = index in options.suspendable
        name = options.names[index]
        self.function = (
            Deferred(name, filename, 1, self.source)
            if kept is None
            else Recalled(name, filename, self, kept)
        )

    @cached_property
    def translated(self) -> Translated:
        return translate_function(self.index, self.options, Writer(), self.sites_of)

    def source(self) -> str:
        return self.translated.source

    @cached_property
    def written(self) -> WrittenCode | None:
        """What ``kept`` has of it."""
        return None if self.kept is None else self.kept.about(self.index, self.function)

    @property
    def slots(self) -> int:
        return (self.written or self.translated).slots

    @cached_property
    def lines(self) -> Mapping[int, int]:
        written = self.written
        return dict(self.translated.lines) if written is None else written.lines

    @cached_property
    def points(self) -> SuspensionPoints:
        written = self.written
        return points_of(self.translated.lowered) if written is None else written.points


class Recalled(Deferred):
    """A function whose code ``kept`` may have; if not, it is added."""

    __slots__ = ("kept", "translation")

    def __init__(self, name: str, filename: str, translation: Translation, kept: Kept) -> None:
        super().__init__(name, filename, 1, translation.source)
        self.translation = translation
        self.kept = kept

    def compiled(self) -> CodeType:
        index = self.translation.index
        code = self.kept.code(index)
        if code is None:
            code = super().compiled()
            self.kept.add(index, self.translation, code)
        return code


def translate_on_demand(
    module: Module,
    program: Program,
    *,
    granularity: str = "safepoint",
    canonical_nans: bool = False,
    polls: bool = True,
    sites_of: SitesOf | None = None,
    cache: Cache = NO_CACHE,
) -> Bundle:
    """The translation of ``module``, which is valid, and which ``program`` says everything else of.
    The sites that ``sites_of`` gives for a function are part of it. With ``canonical_nans`` every
    NaN that arithmetic makes is the canonical one; ``polls`` False leaves the safepoints out.
    ``cache`` may have functions of a large module, translated, if there are no sites in them."""
    options = options_for(
        module,
        everywhere=granularity == "instruction",
        canonical_nans=canonical_nans,
        polls=polls,
    )
    digest = module.hash.hex()[:16]
    imported = options.spaces.imported_funcs
    kept = None
    if sites_of is None and is_kept(module.binary, cache):
        kept = Kept(cache, program, granularity, str(canonical_nans), str(polls))
    codes: list[Code] = []
    for index in range(imported, len(options.spaces.funcs)):
        filename = f"<chiwawa translation of {digest}, function {index}>"
        codes.append(Translation(index, options, sites_of, filename, kept))
    names = [options.names[index] for index in range(imported)]
    return Bundle(program, codes, granularity, names, module.binary, canonical_nans)
