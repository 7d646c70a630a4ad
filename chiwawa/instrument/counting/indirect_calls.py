"""What calls through tables, and of references, call."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from chiwawa.instrument.counting.observed import Observed
from chiwawa.instrument.counting.site_sources import calling
from chiwawa.lower.lowered import Lowered
from chiwawa.lower.sites import Site
from chiwawa_runtime.engine.instance import ModuleInstance
from chiwawa_runtime.state.interface import AnyTable
from chiwawa_runtime.state.store import Function


class FunctionIndices:
    """The functions of the instance that runs, by identity; of one with several indices, the
    first counts."""

    def __init__(self) -> None:
        self.known: dict[int, int] = {}

    def attach(self, instance: ModuleInstance) -> None:
        functions = list(enumerate(instance.functions))
        self.known = {id(function): index for index, function in reversed(functions)}


def target_of(table: AnyTable | None, operand: Any) -> Function | None:
    """The function that a call through ``table`` is about to call, by its index, or that
    ``operand`` is where there is no table; None where it traps."""
    target = operand
    if table is not None:
        target = table.get(operand) if operand < table.size() else None
    return target if isinstance(target, Function) else None


def indirect_calls(lowered: Lowered) -> Iterator[tuple[int, str, str]]:
    """The position of each, and its table (``None`` where it calls a reference) and the operand
    that says what is called, as sites name them."""
    for position, reached in enumerate(lowered.reached):
        instr = lowered.body[position]
        if reached and instr.op.indirect:
            kinds = instr.op.immediates
            through = f"table{instr.imm[kinds.index('tableidx')]}" if "tableidx" in kinds else None
            yield position, str(through), f"s{lowered.heights[position] - 1}"


class IndirectCallCounter:
    """By function, code offset, and index of what is called (None: it has none here)."""

    def __init__(self, indices: FunctionIndices) -> None:
        self.indices = indices
        self.targets: dict[tuple[int, int, int | None], int] = defaultdict(int)
        self.names: dict[str, Any] = {"count_target": self.count}

    def sites(self, lowered: Lowered) -> Iterator[tuple[int, Site]]:
        for position, table, operand in indirect_calls(lowered):
            place = f"{lowered.index}, {lowered.body[position].offset}"
            yield position, calling(f"count_target({place}, {table}, {operand}, {{}})")

    def count(
        self, function: int, offset: int, table: AnyTable | None, operand: Any, times: int
    ) -> None:
        target = target_of(table, operand)
        if target is not None:
            self.targets[function, offset, self.indices.known.get(id(target))] += times

    def add_to(self, observed: Observed) -> None:
        for (function, offset, target), count in self.targets.items():
            if count:
                targets = observed.targets.setdefault((function, offset), {})
                targets[target] = targets.get(target, 0) + count
