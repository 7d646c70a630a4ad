"""The calling-context tree: in which chain of calls how many instructions are begun."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from chiwawa.instrument.blocks import Blocks
from chiwawa.instrument.counting.indirect_calls import (
    FunctionIndices,
    indirect_calls,
    target_of,
)
from chiwawa.instrument.counting.observed import Node, Observed
from chiwawa.instrument.counting.site_sources import adding, calling
from chiwawa.lower.lowered import Lowered
from chiwawa.lower.sites import Site
from chiwawa.module import Module
from chiwawa_runtime.state.interface import AnyTable


class Context:
    """Where in the tree the program is."""

    __slots__ = ("node",)

    def __init__(self, root: Node) -> None:
        self.node = root

    def enter(self, function: int) -> None:
        self.node = node = self.node.child(function)
        node.calls += 1

    def leave(self) -> None:
        parent = self.node.parent
        if parent is not None:
            self.node = parent

    def call_host(self, function: int, times: int) -> None:
        """A function of the host is called, which has no boundaries of its own."""
        self.node.child(function).calls += times


class ContextCounter:
    """A tree, and where in it the program is."""

    def __init__(self, module: Module, blocks: Blocks, indices: FunctionIndices) -> None:
        self.imported = len(module.func_typeidxs()) - len(module.funcs)
        self.blocks = blocks
        self.indices = indices
        self.tree = Node(-1)
        self.context = Context(self.tree)
        self.names: dict[str, Any] = {
            "context": self.context,
            "call_indirectly": self.call_indirectly,
        }

    def sites(self, lowered: Lowered) -> Iterator[tuple[int, Site]]:
        for block in self.blocks.of(lowered):
            yield block[0], adding("context.node.instructions", len(block))
        for position, table, operand in indirect_calls(lowered):
            yield position, calling(f"call_indirectly({table}, {operand}, {{}})")
        for position, reached in enumerate(lowered.reached):
            instr = lowered.body[position]
            if reached and instr.op.calls and not instr.op.indirect:
                callee = instr.imm[0]
                if callee < self.imported:
                    yield position, calling(f"context.call_host({callee}, {{}})", reads=False)

    def entry(self, lowered: Lowered) -> str:
        """The line of source that runs when a function is called."""
        return f"context.enter({lowered.index})"

    #: The line that runs when the function returns, and where an exception leaves it.
    exit = unwound = "context.leave()"

    def call_indirectly(self, table: AnyTable | None, operand: Any, times: int) -> None:
        target = target_of(table, operand)
        if target is not None:
            known = self.indices.known.get(id(target))
            if known is not None and known < self.imported:
                self.context.call_host(known, times)

    def go_to(self, functions: Iterable[int]) -> None:
        """The program goes on in frames of these functions, the oldest first."""
        self.context.node = self.tree
        for function in functions:
            self.context.node = self.context.node.child(function)

    def return_to(self, node: Node | None) -> None:
        """What was called when the program was at ``node`` is over; None: at the root."""
        self.context.node = self.tree if node is None else node

    def cut(self, function: int, position: int) -> None:
        """A trap at ``position`` ended a block."""
        block = self.blocks.around(function, position)
        if block:
            self.context.node.instructions -= len(block) - block.index(position) - 1

    def resume(self, function: int, position: int) -> None:
        """A block goes on at ``position``, in its middle."""
        block = self.blocks.around(function, position)
        self.context.node.instructions += len(block) - block.index(position)

    def add_to(self, observed: Observed) -> None:
        self.tree.add_to(observed.tree)
