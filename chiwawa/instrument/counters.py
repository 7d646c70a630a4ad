"""The counters that monitors stand on: which lines of source count what, and what they counted.

Instructions are counted by basic block, with one addition a block; what each instruction's count is
follows from that, and from where traps cut a block short. The rest looks at operands: which way a
branch went, what a table gave, which page was touched, in which calling context.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from chiwawa.instrument.blocks import partition
from chiwawa.instrument.observed import Node, Observed, Place
from chiwawa.lower.lowered import Lowered
from chiwawa.lower.sites import Site
from chiwawa.module import MemArg, Module
from chiwawa_runtime.engine.instance import ModuleInstance
from chiwawa_runtime.errors import Exhaustion, Trap
from chiwawa_runtime.state.interface import AnyMemory, AnyTable
from chiwawa_runtime.state.store import Function
from chiwawa_runtime.state.types import PAGE

#: What can be counted, in the order in which a checkpoint says so.
KINDS = ("counts", "arms", "targets", "pages", "tree")


class Profile:
    """The calling context of what runs now, in the tree."""

    __slots__ = ("known", "node")

    def __init__(self, root: Node) -> None:
        self.node = root
        #: The index of each function of the instance, by identity.
        self.known: dict[int, int] = {}

    def enter(self, function: int) -> None:
        self.node = node = self.node.child(function)
        node.calls += 1

    def leave(self) -> None:
        parent = self.node.parent
        if parent is not None:
            self.node = parent

    def host(self, function: int, times: int) -> None:
        """A function of the host is called, which has no boundaries of its own."""
        self.node.child(function).calls += times


class Counters:
    """Counts of one run, of the ``kinds`` asked for. ``names`` are what the sites name."""

    def __init__(self, module: Module, kinds: frozenset[str]) -> None:
        self.module = module
        self.kinds = kinds
        #: What was counted before.
        self.earlier = Observed(module)
        self.imported = len(module.func_typeidxs()) - len(module.funcs)
        #: By function: its blocks, and how often each was entered.
        self.blocks: dict[int, list[tuple[int, ...]]] = {}
        self.entered: dict[int, list[int]] = {}
        #: By function and position of an instruction: how often a trap there ended its block.
        self.cuts: dict[tuple[int, int], int] = defaultdict(int)
        #: By function: the offsets of its branches, with where the counts of each one's arms begin
        #: and end, and all counts.
        self.branches: dict[int, dict[int, tuple[int, int]]] = {}
        self.arms: dict[int, list[int]] = {}
        self.targets: dict[tuple[int, int, int | None], int] = defaultdict(int)
        self.reads: dict[int, dict[int, int]] = {}
        self.writes: dict[int, dict[int, int]] = {}
        self.bulk: dict[tuple[int, str], list[int]] = {}
        self.tree = Node(-1)
        self.profile = Profile(self.tree)
        self.names: dict[str, Any] = {"profile": self.profile}
        for index in range(self.imported, self.imported + len(module.funcs)):
            if "counts" in kinds:
                self.entered[index] = self.names[f"c{index}"] = []
            if "arms" in kinds:
                self.arms[index] = self.names[f"a{index}"] = []
        if "targets" in kinds or "tree" in kinds:
            self.names["called"] = self.called
        if "pages" in kinds:
            for index in range(len(module.memory_types())):
                self.reads[index] = self.names[f"reads{index}"] = defaultdict(int)
                self.writes[index] = self.names[f"writes{index}"] = defaultdict(int)
            self.names.update(grows=self.grows, fills=self.fills, copies=self.copies)

    def attach(self, instance: ModuleInstance) -> None:
        functions = list(enumerate(instance.functions))
        self.profile.known = {id(f): i for i, f in reversed(functions)}

    # What runs.

    def sites(self, lowered: Lowered) -> Iterator[tuple[int, Site]]:
        """The sites of a function, with their positions; each position's in the order in which
        they run."""
        index = lowered.index
        blocks = partition(lowered)
        if "counts" in self.kinds:
            if index not in self.blocks:
                self.blocks[index] = blocks
                self.entered[index].extend([0] * len(blocks))
            for number, block in enumerate(blocks):
                yield block[0], counting(f"c{index}[{number}]", 1)
        if "tree" in self.kinds:
            for block in blocks:
                yield block[0], counting("profile.node.instructions", len(block))
        for position, reached in enumerate(lowered.reached):
            if reached:
                yield from ((position, site) for site in self.looking(lowered, position))

    def looking(self, lowered: Lowered, position: int) -> Iterator[Site]:
        """The sites before an instruction that look at its operands."""
        instr = lowered.body[position]
        name = instr.op.name
        top = lowered.heights[position] - 1
        if name in ("br_if", "br_table") and "arms" in self.kinds:
            arms = 2 if name == "br_if" else len(lowered.targets[position])
            first = self.first_arm(lowered.index, instr.offset, arms)
            chosen = f"1 if s{top} else 0" if arms == 2 and name == "br_if" else ""
            chosen = chosen or f"s{top} if s{top} < {arms - 1} else {arms - 1}"
            yield counting(f"a{lowered.index}[{first} + ({chosen})]", 1, reads=True)
        elif instr.op.indirect and ("targets" in self.kinds or "tree" in self.kinds):
            table = f"table{instr.imm[1]}"
            yield calling(f"called({lowered.index}, {instr.offset}, {table}, s{top}, {{}})")
        elif instr.op.calls and "tree" in self.kinds:
            if instr.imm[0] < self.imported:
                yield calling(f"profile.host({instr.imm[0]}, {{}})", reads=False)
        elif "pages" in self.kinds:
            yield from touching(instr.op.name, instr.op.width, instr.imm, top)

    def first_arm(self, function: int, offset: int, arms: int) -> int:
        """Where the counts of a branch begin among its function's."""
        known = self.branches.setdefault(function, {})
        if offset not in known:
            counts = self.arms[function]
            known[offset] = len(counts), len(counts) + arms
            counts.extend([0] * arms)
        return known[offset][0]

    def called(self, function: int, offset: int, table: AnyTable, index: int, times: int) -> None:
        """A call through a table is about to be made; one that traps calls nothing."""
        target = table.get(index) if index < table.size() else None
        if not isinstance(target, Function):
            return
        known = self.profile.known.get(id(target))
        if "targets" in self.kinds:
            self.targets[function, offset, known] += times
        if "tree" in self.kinds and known is not None and known < self.imported:
            self.profile.host(known, times)

    def grows(self, memory: int, pages: int, times: int) -> None:
        self.ask(memory, "memory.grow", pages, times)

    def fills(
        self, memory: AnyMemory, number: int, name: str, at: int, size: int, times: int
    ) -> None:
        self.ask(number, name, size, times)
        touch(self.writes[number], memory, at, size, times)

    def copies(
        self, to: AnyMemory, number: int, from_: AnyMemory, source: int,
        at: int, start: int, size: int, times: int,
    ) -> None:  # fmt: skip
        self.fills(to, number, "memory.copy", at, size, times)
        touch(self.reads[source], from_, start, size, times)

    def ask(self, memory: int, name: str, amount: int, times: int) -> None:
        asked = self.bulk.setdefault((memory, name), [0, 0])
        asked[0] += times
        asked[1] += amount * times

    # What happened.

    def enter(self, lowered: Lowered, position: int) -> None:
        """The program goes on in a function at ``position``. Where that is within a block, the rest
        of it is counted here: it will not be entered at its start."""
        block = block_of(partition(lowered), position)
        if block is None or block[0] == position:
            return
        rest = block[block.index(position) :]
        if "counts" in self.kinds:
            counts = self.earlier.counts.setdefault(lowered.index, [0] * len(lowered.body))
            for each in rest:
                counts[each] += 1
        if "tree" in self.kinds:
            self.profile.node.instructions += len(rest)

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
        if position is None:
            return
        if "counts" in self.kinds and place.function in self.blocks:
            self.cuts[place.function, position] += 1
        if "tree" in self.kinds:
            self.profile.node.instructions -= self.left_over(place.function, position)

    def left_over(self, function: int, position: int) -> int:
        """How many instructions of its block follow the one at ``position``."""
        block = block_of(self.blocks_of(function), position)
        return 0 if block is None else len(block) - block.index(position) - 1

    def blocks_of(self, function: int) -> list[tuple[int, ...]]:
        return self.blocks.get(function, [])

    def observed(self) -> Observed:
        """Everything counted so far, earlier machines included."""
        result = added(self.earlier)
        for function, blocks in self.blocks.items():
            counts = result.counts.get(function)
            if not any(self.entered[function]):
                continue
            if counts is None:
                size = len(self.module.funcs[function - self.imported].body)
                counts = result.counts[function] = [0] * size
            for block, count in zip(blocks, self.entered[function], strict=True):
                for position in block:
                    counts[position] += count
        for (function, position), count in self.cuts.items():
            ended = block_of(self.blocks[function], position)
            if ended is not None:
                for later in ended[ended.index(position) + 1 :]:
                    result.counts[function][later] -= count
        for function, places in self.branches.items():
            for offset, (first, end) in places.items():
                add_arms(result, (function, offset), self.arms[function][first:end])
        for (function, offset, target), count in self.targets.items():
            if count:
                targets = result.targets.setdefault((function, offset), {})
                targets[target] = targets.get(target, 0) + count
        for kind, memories in enumerate((self.reads, self.writes)):
            for memory, pages in memories.items():
                for page, count in pages.items():
                    if count:
                        result.pages.setdefault(memory, {}).setdefault(page, [0, 0])[kind] += count
        for key, (calls, amount) in self.bulk.items():
            if calls:
                asked = result.bulk.setdefault(key, [0, 0])
                asked[0] += calls
                asked[1] += amount
        graft(self.tree, result.tree)
        return result


def counting(counter: str, amount: int, reads: bool = False) -> Site:
    return Site(f"{counter} += {amount}", reads=reads, undo=f"{counter} -= {amount}")


def calling(source: str, reads: bool = True) -> Site:
    """A site that calls something with 1, and with -1 to undo it."""
    return Site(source.format(1), reads=reads, undo=source.format(-1))


def touching(name: str, width: int, imm: tuple[Any, ...], top: int) -> Iterator[Site]:
    """The sites that count which pages an instruction is going to touch."""
    if width:
        (memarg,) = imm
        assert isinstance(memarg, MemArg)
        storing = "store" in name
        address = f"s{top - 1 if storing else top}"
        if memarg.offset:
            address = f"({address} + {memarg.offset})"
        kind = "writes" if storing else "reads"
        yield counting(f"{kind}{memarg.memidx}[{address} >> 16]", 1, reads=True)
    elif name == "memory.grow":
        yield calling(f"grows({imm[0]}, s{top}, {{}})")
    elif name == "memory.fill":
        memory = imm[0]
        yield calling(f"fills(mem{memory}, {memory}, {name!r}, s{top - 2}, s{top}, {{}})")
    elif name == "memory.init":
        memory = imm[1]
        yield calling(f"fills(mem{memory}, {memory}, {name!r}, s{top - 2}, s{top}, {{}})")
    elif name == "memory.copy":
        to, from_ = imm
        operands = f"s{top - 2}, s{top - 1}, s{top}"
        yield calling(f"copies(mem{to}, {to}, mem{from_}, {from_}, {operands}, {{}})")


def touch(pages: dict[int, int], memory: AnyMemory, at: int, size: int, times: int) -> None:
    """Count each page of ``size`` bytes from ``at``, as far as there are such pages."""
    end = min(at + size, memory.byte_length())
    for page in range(at // PAGE, (end + PAGE - 1) // PAGE if size else 0):
        pages[page] += times


def block_of(blocks: list[tuple[int, ...]], position: int) -> tuple[int, ...] | None:
    """The block that has ``position``; ``blocks`` ascend."""
    found = bisect_right(blocks, position, key=lambda block: block[0]) - 1
    if found < 0 or position not in blocks[found]:
        return None
    return blocks[found]


def added(earlier: Observed) -> Observed:
    """A copy, to add to."""
    result = Observed(earlier.module, gaps=earlier.gaps)
    result.counts = {function: counts[:] for function, counts in earlier.counts.items()}
    result.arms = {place: arms[:] for place, arms in earlier.arms.items()}
    result.targets = {place: dict(targets) for place, targets in earlier.targets.items()}
    result.pages = {
        memory: {page: both[:] for page, both in pages.items()}
        for memory, pages in earlier.pages.items()
    }
    result.bulk = {key: asked[:] for key, asked in earlier.bulk.items()}
    graft(earlier.tree, result.tree)
    return result


def add_arms(result: Observed, place: Place, arms: list[int]) -> None:
    if any(arms):
        known = result.arms.setdefault(place, [0] * len(arms))
        result.arms[place] = [a + b for a, b in zip(known, arms, strict=True)]


def graft(source: Node, target: Node) -> None:
    """Add a tree's numbers to those of another."""
    work = [(source, target)]
    while work:
        node, into = work.pop()
        into.calls += node.calls
        into.instructions += node.instructions
        work.extend((child, into.child(child.function)) for child in node.children.values())
