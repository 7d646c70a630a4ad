"""Which pages of memory are read and written, and what is asked of a memory at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from chiwawa.instrument.counting.observed import Observed
from chiwawa.instrument.counting.site_sources import adding, calling
from chiwawa.instrument.extents import asked, touched
from chiwawa.lower.lowered import Lowered
from chiwawa.lower.sites import Site
from chiwawa.module import Module
from chiwawa_runtime.state.interface import AnyMemory
from chiwawa_runtime.state.types import PAGE

#: Shifted right by this, an address is the number of its page.
PAGE_BITS = PAGE.bit_length() - 1


class MemoryCounter:
    """By memory: how often each page was read and written, and by name of an instruction how often
    it was begun and how much it asked for."""

    def __init__(self, module: Module) -> None:
        memories = range(len(module.memory_types()))
        self.reads: list[dict[int, int]] = [defaultdict(int) for _ in memories]
        self.writes: list[dict[int, int]] = [defaultdict(int) for _ in memories]
        self.bulk: dict[tuple[int, str], list[int]] = {}
        self.names: dict[str, Any] = {"ask_memory": self.ask, "touch_pages": touch_pages}
        for index in memories:
            self.names[f"reads{index}"] = self.reads[index]
            self.names[f"writes{index}"] = self.writes[index]

    def sites(self, lowered: Lowered) -> Iterator[tuple[int, Site]]:
        for position, reached in enumerate(lowered.reached):
            if reached:
                yield from ((position, site) for site in self.before(lowered, position))

    def before(self, lowered: Lowered, position: int) -> Iterator[Site]:
        instr, height = lowered.body[position], lowered.heights[position]
        for each in asked(instr, height):
            yield calling(f"ask_memory({each.memory}, {instr.op.name!r}, {each.amount}, {{}})")
        for touch in touched(instr, height):
            pages = f"{'writes' if touch.writes else 'reads'}{touch.memory}"
            if instr.op.width:
                # Where it lies on two pages, the first counts.
                yield adding(f"{pages}[{touch.address} >> {PAGE_BITS}]", 1, reads=True)
            else:
                extent = f"mem{touch.memory}, {touch.address}, {touch.size}"
                yield calling(f"touch_pages({pages}, {extent}, {{}})")

    def ask(self, memory: int, name: str, amount: int, times: int) -> None:
        sums = self.bulk.setdefault((memory, name), [0, 0])
        sums[0] += times
        sums[1] += amount * times

    def add_to(self, observed: Observed) -> None:
        for side, memories in enumerate((self.reads, self.writes)):
            for memory, pages in enumerate(memories):
                for page, count in pages.items():
                    if count:
                        known = observed.pages.setdefault(memory, {})
                        known.setdefault(page, [0, 0])[side] += count
        for key, (calls, amount) in self.bulk.items():
            if calls:
                sums = observed.bulk.setdefault(key, [0, 0])
                sums[0] += calls
                sums[1] += amount


def touch_pages(pages: dict[int, int], memory: AnyMemory, at: int, size: int, times: int) -> None:
    """Count each page of ``size`` bytes from ``at``, as far as there are such pages."""
    end = min(at + size, memory.byte_length())
    for page in range(at // PAGE, (end + PAGE - 1) // PAGE if size else 0):
        pages[page] += times
