"""The operand stack of a function that is being translated.

Operands stay pending as expressions until something consumes them; what an effect could change is
first spilled into the variable of its stack position, ``s0`` for the deepest. Nothing here walks
over more than the pending ones, of which there are few, so that a high stack costs no more than a
low one. This module knows no instructions.
"""

from __future__ import annotations

import ast
from collections.abc import Callable

from chiwawa.lower.lowered import Lowered
from chiwawa.meanings import fold
from chiwawa.meanings.fold import Node, const, name
from chiwawa.meanings.rows import high
from chiwawa_runtime.errors import UnsupportedError
from chiwawa_runtime.state.stacks import popped

#: So many operands wait as expressions, at most: any instruction may look at all of them.
MOST_PENDING = 64
#: More results than these stay in the tuple that a call gives until they are wanted.
FEW = 32
#: So many operands may be named in one function where more than ``FEW`` are named at once. Each
#: takes a few bytes of source, and a single byte of Wasm can ask for a thousand.
MAX_NAMED = 500_000


class Operand:
    """An operand that is pending as an expression, and what of it decides when it must be put into
    its variable."""

    __slots__ = ("cell", "depth", "locals", "node", "slots", "state", "trap")

    def __init__(
        self,
        node: Node,
        locals_: int = 0,
        slots: int = 0,
        state: bool = False,
        trap: int | None = None,
        depth: int = 0,
        cell: bool = False,
    ) -> None:
        self.node = node
        #: The locals that it reads, as bits by index.
        self.locals = locals_
        #: The stack positions whose variables it reads, as bits by how far above its own they are.
        self.slots = slots
        #: Whether it reads what something else can write: memory, tables, globals.
        self.state = state
        #: The code offset of the instruction in it that may trap, if one may.
        self.trap = trap
        #: How deep its expression is nested.
        self.depth = depth
        #: Whether it reads the cell that rounds to f32.
        self.cell = cell


class Operands:
    """The operand stack. ``emit`` takes a statement, and the offset of what may trap in it."""

    def __init__(self, lowered: Lowered, emit: Callable[[ast.stmt, int | None], None]) -> None:
        self.lowered = lowered
        self.emit = emit
        #: The operands, the deepest first. None is one that is in its variable, or in ``results``
        #: still, and of which nothing is known but its type.
        self.stack: list[Operand | None] = []
        #: Operands below are in their variables (or in ``results``): so many need no look.
        self.settled = 0
        #: Of so many nothing is known but their types.
        self.widened = 0
        #: Where in the stack those are that are in the tuple ``results`` still, which has
        #: ``results_count``.
        self.results_from = self.results_to = self.results_count = 0
        #: How many operands ``span`` has named, and what it gave.
        self.named = 0
        self.spans: dict[tuple[int, int], str] = {}
        #: The position of the instruction that is being translated.
        self.position = 0

    def push(self, operand: Operand) -> None:
        self.stack.append(operand)

    def cut(self, height: int) -> None:
        """Take the operands from ``height`` up off the stack."""
        del self.stack[height:]
        if height < self.settled:
            self.settled = height
            self.widened = min(self.widened, height)
            self.results_to = min(self.results_to, height)

    def operand(self, height: int) -> Operand:
        """The operand at ``height``, with the bounds of its type where nothing else is known."""
        operand = self.stack[height]
        if operand is not None:
            return operand
        lowered = self.lowered
        types = popped(lowered.stacks[self.position], lowered.heights[self.position] - 1 - height)
        assert types is not None
        top = high(types[0])
        if self.results_from <= height < self.results_to:
            node = fold.subscript(name("results"), const(height - self.results_from))
            return Operand(fold.bounded(node, None if top is None else 0, top), state=True, depth=1)
        return Operand(name(f"s{height}", top), slots=1)

    def pop(self) -> Operand:
        """Take the topmost operand off the stack."""
        height = len(self.stack) - 1
        operand = self.operand(height)
        self.cut(height)
        return operand

    def nodes(self, first: int) -> list[Node]:
        """The operands from ``first`` up, as what stands in a call's parentheses."""
        stack = self.stack
        result: list[Node] = []
        height = first
        while height < len(stack):
            operand = stack[height]
            if operand is not None:
                result.append(operand.node)
                height += 1
                continue
            start = height
            if self.results_from <= height < self.results_to:
                height = self.results_to
                result.append(name(f"*{self.in_results(start)}"))
                continue
            while (
                height < len(stack)
                and stack[height] is None
                and not self.results_from <= height < self.results_to
            ):
                height += 1
            if height - start > FEW:
                result.append(name(self.span(start, height)))
            else:
                result += [name(f"s{i}") for i in range(start, height)]
        return result

    def in_results(self, height: int) -> str:
        """Source of those operands, from ``height`` up, that are in ``results`` still."""
        low, high = height - self.results_from, self.results_to - self.results_from
        return "results" if high - low == self.results_count else f"results[{low}:{high}]"

    def span(self, low: int, high: int) -> str:
        """The names of stack positions, with commas between them."""
        self.named += high - low
        if self.named > MAX_NAMED:
            index = self.lowered.index
            raise UnsupportedError(
                f"function {index} cannot be translated: its calls and branches move more than "
                f"{MAX_NAMED} operands, {high - low} at once (it can be interpreted)"
            )
        text = self.spans.get((low, high))
        if text is None:
            text = self.spans[low, high] = ", ".join([f"s{i}" for i in range(low, high)])
        return text

    def untouched(self, count: int) -> bool:
        """Whether the topmost ``count`` operands are exactly what ``results`` has."""
        first = len(self.stack) - count
        return self.results_from == first and self.results_to - first == self.results_count == count

    def unpack(self) -> None:
        """Put the operands that are in ``results`` still into their variables."""
        low, high = self.results_from, self.results_to
        if low < high:
            names = self.span(low, high) + ("," if high - low == 1 else "")
            self.emit(fold.verbatim(f"{names} = {self.in_results(low)}"), None)
            self.results_to = low

    def assign(self, target: str, operand: Operand) -> None:
        node = operand.node
        if type(node) is ast.Name and node.id == target:
            return
        self.emit(ast.Assign([ast.Name(target, fold.STORE)], node), operand.trap)

    def spill(self, height: int) -> None:
        """Put the operand at ``height`` into its variable."""
        operand = self.stack[height]
        if operand is None:
            if self.results_from <= height < self.results_to:
                self.unpack()
            return
        node = operand.node
        if type(node) is ast.Name and operand.slots == 1:
            return
        for below in range(self.settled, height):
            other = self.stack[below]
            if other is not None and other.slots >> (height - below) & 1:
                self.spill(below)
        target = f"s{height}"
        self.assign(target, operand)
        self.stack[height] = Operand(
            fold.bounded(ast.Name(target, fold.LOAD), node.lo, node.hi), slots=1
        )

    def spill_below(self, height: int) -> None:
        """Put all operands below ``height`` into their variables."""
        if self.results_from < height:
            self.unpack()
        for each in range(self.settled, height):
            self.spill(each)
        self.settled = max(self.settled, height)

    def spill_all(self) -> None:
        self.spill_below(len(self.stack))

    def spill_top(self, count: int, above: int = 0) -> None:
        """Put the topmost ``count`` operands, beneath ``above`` more, into their variables."""
        end = len(self.stack) - above
        if count and end - count < self.results_to:
            self.unpack()
        for height in range(max(end - count, self.settled), end):
            self.spill(height)

    def spill_where(self, *, trap: bool = False, state: bool = False, local: int = 0) -> None:
        """Put operands into their variables that may trap, that read state, or that read one of the
        locals whose bits are in ``local``."""
        stack = self.stack
        for height in range(self.settled, len(stack)):
            operand = stack[height]
            if operand is not None and (
                (trap and operand.trap is not None)
                or (state and operand.state)
                or operand.locals & local
            ):
                self.spill(height)

    def spill_beneath(self, count: int) -> None:
        """Put all operands beneath the topmost ``count`` into their variables, and of those what
        may trap."""
        self.spill_where(trap=True)
        self.spill_below(len(self.stack) - count)

    def spill_for_effect(self, first: int, traps: bool, writes: bool) -> None:
        """Put into variables what an instruction with an effect would change or overtake. Its own
        operands are those from ``first`` up. Where it ``traps``, that is what may trap before it;
        where it ``writes``, what reads state or may trap, beneath its own."""
        stack = self.stack
        for height in range(self.settled, len(stack)):
            operand = stack[height]
            if operand is not None and (
                (traps and operand.trap is not None)
                or (writes and height < first and (operand.state or operand.trap is not None))
            ):
                self.spill(height)

    def spill_readers(self, base: int) -> None:
        """Put operands beneath ``base`` into their variables that read variables from there up."""
        for height in range(self.settled, base):
            operand = self.stack[height]
            if operand is not None and operand.slots >> (base - height):
                self.spill(height)

    def widen(self) -> None:
        """The operands, which are in their variables, are bounded by their types alone."""
        height = len(self.stack)
        self.stack[self.widened :] = [None] * (height - self.widened)
        self.settled = self.widened = height

    def push_typed(self, count: int) -> None:
        """Push operands that are in their variables, bounded by their types alone."""
        height = len(self.stack)
        self.stack += [None] * count
        if self.settled == height:
            self.settled += count
            if self.widened == height:
                self.widened += count

    def push_from_results(self, count: int) -> None:
        """Push operands that are in ``results``. All others are in their variables."""
        height = len(self.stack)
        self.results_from, self.results_to, self.results_count = height, height + count, count
        self.stack += [None] * count
        self.settled = height + count
