"""A module's translation in memory, function by function, each when it is first called.

It is what a generated file would be, without the file: a large program starts at once, and
instruments get functions of their own without anything else being translated.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from chiwawa.aot.emit import Writer
from chiwawa.aot.function import Translated, translate_function
from chiwawa.aot.options import Options, options_for
from chiwawa.lower.points import points_of
from chiwawa.lower.sites import SitesOf
from chiwawa.module import Module
from chiwawa_runtime.engine.deferred import Deferred
from chiwawa_runtime.engine.translation import Bundle, Code
from chiwawa_runtime.state.program import Program, SuspensionPoints


class Translation:
    """A function that is translated when something needs to know more than its name."""

    def __init__(
        self, index: int, options: Options, sites_of: SitesOf | None, filename: str
    ) -> None:
        self.index = index
        self.options = options
        self.sites_of = sites_of
        self.generator = index in options.suspendable
        self.function = Deferred(options.names[index], filename, 1, self.source)

    @cached_property
    def translated(self) -> Translated:
        return translate_function(self.index, self.options, Writer(), self.sites_of)

    def source(self) -> str:
        return self.translated.source

    @property
    def slots(self) -> int:
        return self.translated.slots

    @cached_property
    def lines(self) -> Mapping[int, int]:
        return dict(self.translated.lines)

    @cached_property
    def points(self) -> SuspensionPoints:
        return points_of(self.translated.lowered)


def translate_on_demand(
    module: Module,
    program: Program,
    *,
    granularity: str = "safepoint",
    canonical_nans: bool = False,
    polls: bool = True,
    sites_of: SitesOf | None = None,
) -> Bundle:
    """The translation of ``module``, which is valid, and which ``program`` says everything else of.
    The sites that ``sites_of`` gives for a function are part of it. With ``canonical_nans`` every
    NaN that arithmetic makes is the canonical one; ``polls`` False leaves the safepoints out."""
    options = options_for(
        module,
        everywhere=granularity == "instruction",
        canonical_nans=canonical_nans,
        polls=polls,
    )
    digest = module.hash.hex()[:16]
    imported = options.spaces.imported_funcs
    codes: list[Code] = []
    for index in range(imported, len(options.spaces.funcs)):
        filename = f"<chiwawa translation of {digest}, function {index}>"
        codes.append(Translation(index, options, sites_of, filename))
    names = [options.names[index] for index in range(imported)]
    return Bundle(program, codes, granularity, names, module.binary, canonical_nans)
