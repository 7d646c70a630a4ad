"""The counters that monitors stand on, one for each kind of count: which lines of source count, and
what they have counted of one run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from chiwawa.instrument.blocks import Blocks
from chiwawa.instrument.counting.branches import BranchCounter
from chiwawa.instrument.counting.contexts import ContextCounter
from chiwawa.instrument.counting.indirect_calls import FunctionIndices, IndirectCallCounter
from chiwawa.instrument.counting.instructions import InstructionCounter
from chiwawa.instrument.counting.memory_use import MemoryCounter
from chiwawa.instrument.counting.observed import Observed
from chiwawa.lower.lowered import Lowered
from chiwawa.lower.sites import Site
from chiwawa.module import Module
from chiwawa_runtime.engine.instance import ModuleInstance
from chiwawa_runtime.errors import Exhaustion, Trap


class Counter(Protocol):
    """Counts of one kind. ``names`` are what its sites name."""

    names: dict[str, Any]

    def sites(self, lowered: Lowered) -> Iterator[tuple[int, Site]]:
        """The lines of source that count in a function, with their positions."""

    def add_to(self, observed: Observed) -> None:
        """Add what was counted."""


class Counters:
    """Counts of one run, of the ``kinds`` asked for."""

    def __init__(self, module: Module, kinds: frozenset[str]) -> None:
        self.module = module
        self.kinds = kinds
        #: What was counted before.
        self.earlier = Observed(module)
        self.imported = len(module.func_typeidxs()) - len(module.funcs)
        self.blocks = Blocks()
        self.indices = FunctionIndices()
        self.instructions = InstructionCounter(module, self.blocks) if "counts" in kinds else None
        self.contexts = (
            ContextCounter(module, self.blocks, self.indices) if "tree" in kinds else None
        )
        self.counters: list[Counter] = [c for c in (self.instructions, self.contexts) if c]
        if "arms" in kinds:
            self.counters.append(BranchCounter(module))
        if "targets" in kinds:
            self.counters.append(IndirectCallCounter(self.indices))
        if "pages" in kinds:
            self.counters.append(MemoryCounter(module))

    @property
    def names(self) -> dict[str, Any]:
        """What the sites name."""
        return {name: value for each in self.counters for name, value in each.names.items()}

    def attach(self, instance: ModuleInstance) -> None:
        self.indices.attach(instance)

    def sites(self, lowered: Lowered) -> Iterator[tuple[int, Site]]:
        """The sites of a function, with their positions; each position's in the order in which
        they run."""
        for counter in self.counters:
            yield from counter.sites(lowered)

    def resume(self, lowered: Lowered, position: int) -> None:
        """The program goes on in a function at ``position``. Where that is within a block, the rest
        of it is counted here: it will not be entered at its start."""
        self.blocks.of(lowered)
        block = self.blocks.around(lowered.index, position)
        if block and block[0] != position:
            for counter in (self.instructions, self.contexts):
                if counter is not None:
                    counter.resume(lowered.index, position)

    def trapped(self, trap: Trap) -> None:
        """Take back what was counted of the block that the trap ended."""
        if isinstance(trap, Exhaustion) or not trap.backtrace:
            return
        place = trap.backtrace[0]
        index = place.function - self.imported
        if not 0 <= index < len(self.module.funcs):
            return
        body = self.module.funcs[index].body
        position = next((p for p, i in enumerate(body) if i.offset == place.offset), None)
        if position is None or not self.blocks.around(place.function, position):
            return
        for counter in (self.instructions, self.contexts):
            if counter is not None:
                counter.cut(place.function, position)

    def observed(self) -> Observed:
        """Everything counted so far, earlier machines included."""
        result = self.earlier.copy()
        for counter in self.counters:
            counter.add_to(result)
        return result
