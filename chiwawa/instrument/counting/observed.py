"""What monitors have counted, in terms of the module alone: no path, no machine, no time in it.

The counters that run make an ``Observed``; tables, reports and profiles are read off it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from chiwawa.module import BrTable, Instr, Module

#: What can be counted, in the order in which a checkpoint says so.
KINDS = ("counts", "arms", "targets", "pages", "tree")

#: A function index and a code offset.
Place = tuple[int, int]


class Node:
    """A function in the calling-context tree: reached by the calls from the root down to it.

    ``function`` is an index, -1 at the root. ``calls`` is how often it was called in that context,
    ``instructions`` how many instructions it began itself, without those of its callees. A function
    of the host (imported) has calls and no instructions."""

    __slots__ = ("calls", "children", "function", "instructions", "parent")

    def __init__(self, function: int, parent: Node | None = None) -> None:
        self.function = function
        self.parent = parent
        self.calls = 0
        self.instructions = 0
        #: By function index.
        self.children: dict[int, Node] = {}

    def child(self, function: int) -> Node:
        """The node of ``function`` called from here, made where there is none."""
        node = self.children.get(function)
        if node is None:
            node = self.children[function] = Node(function, self)
        return node

    def sorted(self) -> list[Node]:
        """The children by function index, which is the same on both paths."""
        return [self.children[index] for index in sorted(self.children)]

    def walk(self) -> Iterator[Node]:
        """This node and all beneath it, parents first; trees are deep, so without recursion."""
        work = [self]
        while work:
            node = work.pop()
            yield node
            work.extend(reversed(node.sorted()))

    def add_to(self, other: Node) -> None:
        """Add the numbers of this tree to those of another."""
        work = [(self, other)]
        while work:
            node, into = work.pop()
            into.calls += node.calls
            into.instructions += node.instructions
            work.extend((child, into.child(child.function)) for child in node.children.values())


def arms_of(instr: Instr) -> int:
    """How many ways on an instruction has that are counted in ``Observed.arms``; 0: none."""
    if instr.op.switches:
        table: BrTable = instr.imm[0]
        return len(table.labels) + 1
    return 2 if instr.op.conditional else 0


@dataclass(slots=True)
class Observed:
    """Counts since the program's start, earlier machines included.

    - ``counts``: for each defined function in which anything ran, how often each instruction was
      begun, by position in its body (0 at ``else`` and ``end``, which are no boundaries, and where
      nothing arrives). An instruction that traps was begun.
    - ``arms``: for ``br_if``, how often it was not taken and how often taken; for ``br_table``, how
      often each label was chosen, the default last. By place; only of those reached.
    - ``targets``: for ``call_indirect``, how often it called which function, by index; None stands
      for a function of the host or of another instance that has no index here.
    - ``pages``: by memory index and page number, how many loads read it and stores wrote it. A load
      or store counts at the page of its first byte, also if it traps; a bulk instruction once at
      each page that it touches.
    - ``bulk``: by memory index and mnemonic (memory.grow, .fill, .copy, .init), how often it was
      begun and how many pages (grow) or bytes (the others) were asked for. memory.copy is counted
      at its target memory.
    - ``tree``: the calling contexts.
    - ``gaps``: how many times the program went on without being counted.
    """

    module: Module
    counts: dict[int, list[int]] = field(default_factory=dict)
    arms: dict[Place, list[int]] = field(default_factory=dict)
    targets: dict[Place, dict[int | None, int]] = field(default_factory=dict)
    pages: dict[int, dict[int, list[int]]] = field(default_factory=dict)
    bulk: dict[tuple[int, str], list[int]] = field(default_factory=dict)
    tree: Node = field(default_factory=lambda: Node(-1))
    gaps: int = 0

    def copy(self) -> Observed:
        """A copy, to add to."""
        result = Observed(self.module, gaps=self.gaps)
        result.counts = {function: counts[:] for function, counts in self.counts.items()}
        result.arms = {place: arms[:] for place, arms in self.arms.items()}
        result.targets = {place: dict(targets) for place, targets in self.targets.items()}
        result.pages = {
            memory: {page: both[:] for page, both in pages.items()}
            for memory, pages in self.pages.items()
        }
        result.bulk = {key: sums[:] for key, sums in self.bulk.items()}
        self.tree.add_to(result.tree)
        return result
