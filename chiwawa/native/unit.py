"""What the rewriting of one function knows of the module: indices, and which functions matter."""

from __future__ import annotations

from dataclasses import dataclass

from chiwawa.lower.lowered import Spaces, recursive_functions
from chiwawa.native import code
from chiwawa.native.layout import BOUNDARIES, CALLEE, DEPTH, LIMIT, MODE, POLL
from chiwawa_runtime.state.types import I32, I64


@dataclass(frozen=True, slots=True)
class Unit:
    """Indices are those of the rewritten module. ``counts`` is what is counted (see ``layout``).

    ``suspends`` are the functions that have safepoints, ``recursive`` those whose frames count
    towards the depth of the call stack, ``deep`` those that call what counts or may lead to what
    does: they say how deep it starts. ``save``, ``next``, ``resumed`` are functions that the
    rewriter adds; ``keep`` and ``take`` such by heap type.
    """

    spaces: Spaces
    counts: int
    shadow: int
    functions: int
    count: int
    suspends: frozenset[int]
    recursive: frozenset[int]
    deep: frozenset[int]
    save: int
    next: int
    resumed: int
    keep: dict[str | int, int]
    take: dict[str | int, int]
    flags_of_elems: int

    def cell(self, address: int) -> bytes:
        """Push an i32 cell."""
        return code.i32(0) + code.load(I32, self.shadow, address)

    def mode(self) -> bytes:
        return self.cell(MODE)

    def is_to_go_on(self) -> bytes:
        """Push whether nothing wants a frame saved or entered again at the safepoint here, which is
        counted where that is done."""
        if not self.counts:
            return self.cell(POLL) + code.EQZ
        return self.counted() + code.BYTE["i64.lt_s"]

    def is_to_stop(self) -> bytes:
        """The opposite."""
        if not self.counts:
            return self.cell(POLL)
        return self.counted() + code.BYTE["i64.ge_s"]

    def uncounted(self) -> bytes:
        """Count one safepoint less."""
        return self.count_more(-1)

    def count_more(self, number: int) -> bytes:
        more = code.global_get(self.count) + code.i64(number) + code.ADD64
        return more + code.global_set(self.count)

    def counted(self) -> bytes:
        """Count a safepoint; push the count and the limit."""
        limit = code.i32(0) + code.load(I64, self.shadow, LIMIT)
        return self.count_more(1) + code.global_get(self.count) + limit

    def passed(self, boundaries: int) -> bytes:
        """Count boundaries that are no safepoints, where boundaries are counted."""
        return self.count_more(boundaries) if boundaries and self.counts == BOUNDARIES else b""

    def set_depth(self, depth: int, deeper: int) -> bytes:
        """Say that the function called next starts ``deeper`` than the local ``depth`` says."""
        value = code.local_get(depth)
        if deeper:
            value += code.i32(deeper) + code.ADD
        return code.i32(0) + value + code.store(I32, self.shadow, DEPTH)

    def set_callee(self, index: int) -> bytes:
        """Say which element is called, which is the local ``index``."""
        return code.i32(0) + code.local_get(index) + code.store(I32, self.shadow, CALLEE)


def suspending(spaces: Spaces) -> frozenset[int]:
    """The functions that may have safepoints."""
    imported = spaces.imported_funcs
    return frozenset(
        index
        for index, func in enumerate(spaces.module.funcs, imported)
        if func.summary.loops or func.summary.indirect or func.summary.calls
    )


def deep_functions(spaces: Spaces) -> frozenset[int]:
    """The functions that count, call what may be anything, or call one of these."""
    imported = spaces.imported_funcs
    deep = set(recursive_functions(spaces))
    callers: dict[int, list[int]] = {}
    for index, func in enumerate(spaces.module.funcs, imported):
        summary = func.summary
        if summary.indirect or any(callee < imported for callee in summary.calls):
            deep.add(index)
        for callee in summary.calls:
            callers.setdefault(callee, []).append(index)
    work = list(deep)
    while work:
        for caller in callers.get(work.pop(), ()):
            if caller not in deep:
                deep.add(caller)
                work.append(caller)
    return frozenset(deep)
