"""Source lines, for modules that have some. What reads them is loaded for no others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from chiwawa.module import Module
from chiwawa_runtime.errors import Location

if TYPE_CHECKING:
    from chiwawa.instrument.dwarf import SourceLines


def source_lines(module: Module) -> SourceLines | None:
    """The source lines of ``module``; None where it has no DWARF line table. Cheap: the sections
    are read when lines are asked for."""
    # Of sections of one name the first counts, as with names.
    sections = {custom.name: custom.data for custom in reversed(module.customs)}
    if ".debug_line" not in sections:
        return None
    from chiwawa.instrument import dwarf

    return dwarf.source_lines(module, sections)


def with_sources(module: Module, backtrace: Sequence[Location]) -> tuple[Location, ...]:
    """``backtrace``, each place in ``module`` with its source line where that is known."""
    lines = source_lines(module)
    if lines is None:
        return tuple(backtrace)
    # Of endless recursion there are many places, and few different ones.
    known = {
        (place.function, place.offset): lines.at(place.function, place.offset)
        for place in backtrace
    }
    return tuple(replace(place, source=known[place.function, place.offset]) for place in backtrace)
