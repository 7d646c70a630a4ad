"""How often each instruction is begun: one addition for each basic block that is entered. What each
instruction's count is follows from that, and from where traps cut a block short."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from chiwawa.instrument.blocks import Block, Blocks
from chiwawa.instrument.counting.observed import Observed
from chiwawa.instrument.counting.site_sources import adding
from chiwawa.lower.lowered import Lowered
from chiwawa.lower.sites import Site
from chiwawa.module import Module


class InstructionCounter:
    """By function: how often each of its blocks was entered."""

    def __init__(self, module: Module, blocks: Blocks) -> None:
        self.module = module
        self.blocks = blocks
        self.imported = len(module.func_typeidxs()) - len(module.funcs)
        defined = range(self.imported, self.imported + len(module.funcs))
        self.entered: dict[int, list[int]] = {index: [] for index in defined}
        self.names: dict[str, Any] = {f"c{index}": self.entered[index] for index in defined}
        #: By function and position of an instruction: how often a trap there cut its block short,
        #: and how often the rest of a block ran from there on, whose start was not entered.
        self.cuts: dict[tuple[int, int], int] = defaultdict(int)
        self.rests: dict[tuple[int, int], int] = defaultdict(int)

    def sites(self, lowered: Lowered) -> Iterator[tuple[int, Site]]:
        blocks = self.blocks.of(lowered)
        entered = self.entered[lowered.index]
        entered.extend([0] * (len(blocks) - len(entered)))
        for number, block in enumerate(blocks):
            yield block[0], adding(f"c{lowered.index}[{number}]", 1)

    def cut(self, function: int, position: int) -> None:
        """A trap at ``position`` ended a block."""
        self.cuts[function, position] += 1

    def resume(self, function: int, position: int) -> None:
        """A block goes on at ``position``, in its middle."""
        self.rests[function, position] += 1

    def add_to(self, observed: Observed) -> None:
        for function, entered in self.entered.items():
            if any(entered):
                counts = self.counts(observed, function)
                for block, count in zip(self.blocks.known[function], entered, strict=True):
                    add(counts, block, count)
        for (function, position), count in self.rests.items():
            block = self.blocks.around(function, position)
            add(self.counts(observed, function), block[block.index(position) :], count)
        for (function, position), count in self.cuts.items():
            block = self.blocks.around(function, position)
            add(self.counts(observed, function), block[block.index(position) + 1 :], -count)

    def counts(self, observed: Observed, function: int) -> list[int]:
        """The counts of ``function``, which has run."""
        if function not in observed.counts:
            size = len(self.module.funcs[function - self.imported].body)
            observed.counts[function] = [0] * size
        return observed.counts[function]


def add(counts: list[int], block: Block, count: int) -> None:
    for position in block:
        counts[position] += count
