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


def with_sources(
    module: Module, backtrace: Sequence[Location], others: Sequence[Module] = ()
) -> tuple[Location, ...]:
    """``backtrace``, each place in ``module``, or in one of ``others``, with its source line where
    that is known. A place that does not say its module is in ``module``."""
    lines = {each.hash: source_lines(each) for each in (*others, module)}
    lines = {key: each for key, each in lines.items() if each is not None}
    if not lines:
        return tuple(backtrace)
    # Of endless recursion there are many places, and few different ones.
    known: dict[tuple[bytes, int, int], Location] = {}
    found = []
    for place in backtrace:
        key = place.module or module.hash, place.function, place.offset
        if key not in known:
            there = lines.get(key[0])
            source = None if there is None else there.at(place.function, place.offset)
            known[key] = replace(place, source=source)
        found.append(known[key])
    return tuple(found)
