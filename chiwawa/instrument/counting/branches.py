"""Which way branches go: a count for each arm of each branch that may go several ways."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from chiwawa.instrument.counting.observed import Observed, arms_of
from chiwawa.instrument.counting.site_sources import adding
from chiwawa.lower.lowered import Lowered
from chiwawa.lower.sites import Site
from chiwawa.module import Module


class BranchCounter:
    """By function: the counts of all arms of its branches, and by code offset where those of one
    branch begin and end."""

    def __init__(self, module: Module) -> None:
        imported = len(module.func_typeidxs()) - len(module.funcs)
        defined = range(imported, imported + len(module.funcs))
        self.arms: dict[int, list[int]] = {index: [] for index in defined}
        self.places: dict[int, dict[int, tuple[int, int]]] = {}
        self.names: dict[str, Any] = {f"a{index}": self.arms[index] for index in defined}

    def sites(self, lowered: Lowered) -> Iterator[tuple[int, Site]]:
        for position, reached in enumerate(lowered.reached):
            instr = lowered.body[position]
            arms = arms_of(instr)
            if not reached or not arms:
                continue
            first = self.first_arm(lowered.index, instr.offset, arms)
            top = f"s{lowered.heights[position] - 1}"
            chosen = f"{top} if {top} < {arms - 1} else {arms - 1}"
            if instr.op.conditional:
                chosen = f"1 if {top} else 0"
            yield position, adding(f"a{lowered.index}[{first} + ({chosen})]", 1, reads=True)

    def first_arm(self, function: int, offset: int, arms: int) -> int:
        """Where the counts of a branch begin among its function's."""
        places = self.places.setdefault(function, {})
        if offset not in places:
            counts = self.arms[function]
            places[offset] = len(counts), len(counts) + arms
            counts.extend([0] * arms)
        return places[offset][0]

    def add_to(self, observed: Observed) -> None:
        for function, places in self.places.items():
            for offset, (first, end) in places.items():
                arms = self.arms[function][first:end]
                if any(arms):
                    known = observed.arms.get((function, offset), [0] * len(arms))
                    sums = [a + b for a, b in zip(known, arms, strict=True)]
                    observed.arms[function, offset] = sums
