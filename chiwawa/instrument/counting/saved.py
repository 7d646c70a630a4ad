"""What monitors counted, as it travels in a checkpoint: the contents of ``chiwawa.monitors``.

Canonical, like everything in a checkpoint: both paths write the same bytes. ::

    monitors ::= gaps:byte version:u32 kinds:byte
                 counts:vec(function) arms:vec(branch) targets:vec(site)
                 pages:vec(memory) bulk:vec(asked) tree:vec(node)
    function ::= funcidx:u32 vec(position:u32 count:u64)      where the count changes
    branch   ::= funcidx:u32 codeoffset:u32 vec(count:u64)
    site     ::= funcidx:u32 codeoffset:u32 vec(callee count:u64)
    callee   ::= 0x00 | 0x01 funcidx:u32
    memory   ::= memidx:u32 vec(page:u64 reads:u64 writes:u64)
    asked    ::= memidx:u32 name calls:u64 amount:u64
    node     ::= parent:u32 funcidx:u32 calls:u64 instructions:u64

``kinds`` has a bit for each of ``observed.KINDS``, the first the lowest. The first node of ``tree``
is beneath the root, which is no node of it and counts as number 0; then they are 1, 2, …; parents
come first, siblings by function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from chiwawa.instrument.counting.observed import KINDS, Node, Observed, arms_of
from chiwawa.module import Instr, Module
from chiwawa.opcodes import TABLE, Op
from chiwawa_runtime.checkpoint.cursor import Cursor
from chiwawa_runtime.checkpoint.leb import encode_u
from chiwawa_runtime.errors import CheckpointError

VERSION = 1
#: What asks much of a memory at once.
BULK = tuple(op.name for op in TABLE if op.extents)
#: Whose counts are by place.
BRANCHES = tuple(op for op in TABLE if op.conditional or op.switches)
INDIRECT = tuple(op for op in TABLE if op.indirect)
COUNTED = frozenset((*BRANCHES, *INDIRECT))
_MOST = 0xFFFFFFFFFFFFFFFF
_T = TypeVar("_T")
_Ordered = TypeVar("_Ordered", int, tuple[int, int], tuple[int, str])


def encode(observed: Observed, kinds: Iterable[str]) -> bytes:
    """The section's contents. Counts beyond 64 bits stay at the most that these hold."""
    out = bytearray((min(observed.gaps, 255),))
    out += encode_u(VERSION)
    out.append(sum(1 << KINDS.index(kind) for kind in kinds))

    def vec(items: list[bytes]) -> bytes:
        return encode_u(len(items)) + b"".join(items)

    out += vec([u(f) + vec(changes(c)) for f, c in sorted(observed.counts.items()) if any(c)])
    out += vec([u(*place) + vec([u(n) for n in arms]) for place, arms in in_order(observed.arms)])
    out += vec(
        [
            u(*place) + vec([callee(t) + u(n) for t, n in called_in_order(targets)])
            for place, targets in in_order(observed.targets)
        ]
    )
    out += vec(
        [
            u(memory) + vec([u(page, *both) for page, both in sorted(pages.items())])
            for memory, pages in sorted(observed.pages.items())
        ]
    )
    out += vec(
        [
            u(memory) + encode_u(len(name)) + name.encode() + u(*asked)
            for (memory, name), asked in sorted(observed.bulk.items())
        ]
    )
    out += vec(list(nodes(observed.tree)))
    return bytes(out)


def u(*numbers: int) -> bytes:
    return b"".join(encode_u(min(number, _MOST)) for number in numbers)


def in_order(found: Mapping[tuple[int, int], _T]) -> list[tuple[tuple[int, int], _T]]:
    return sorted(found.items(), key=lambda item: item[0])


def called_in_order(targets: Mapping[int | None, int]) -> list[tuple[int | None, int]]:
    """What has no index first."""
    return sorted(targets.items(), key=lambda item: -1 if item[0] is None else item[0])


def callee(function: int | None) -> bytes:
    return b"\0" if function is None else b"\1" + encode_u(function)


def changes(counts: list[int]) -> list[bytes]:
    """Where a function's counts change, from 0 at its start."""
    result = []
    before = 0
    for position, count in enumerate(counts):
        if count != before:
            result.append(u(position, count))
            before = count
    return result


def nodes(tree: Node) -> Iterator[bytes]:
    numbers = {id(tree): 0}
    for number, node in enumerate(tree.walk()):
        numbers[id(node)] = number
        if node.parent is not None:
            yield u(numbers[id(node.parent)], node.function, node.calls, node.instructions)


def decode(data: bytes, module: Module) -> tuple[frozenset[str], Observed]:
    """The kinds that were counted, and the counts. Raises CheckpointError where they are not what
    a run of ``module`` can have counted, as far as that can be told."""
    cursor = Cursor(data, 0, len(data))
    observed = Observed(module)
    try:
        observed.gaps = cursor.byte()
        version = cursor.u(32)
        if version != VERSION:
            raise CheckpointError(f"they have version {version}, and this chiwawa reads {VERSION}")
        bits = cursor.byte()
        kinds = frozenset(kind for i, kind in enumerate(KINDS) if bits >> i & 1)
        reader = _Reader(cursor, observed)
        reader.read()
        reader.check(kinds)
        if encode(observed, kinds) != data:
            raise CheckpointError("they are not in their canonical form")
    except CheckpointError as error:
        raise CheckpointError(f"the monitors' counts in the checkpoint: {error}") from None
    return kinds, observed


class _Reader:
    """Reads one section into an ``Observed``, with every index checked."""

    def __init__(self, cursor: Cursor, observed: Observed) -> None:
        self.cursor = cursor
        self.observed = observed
        module = observed.module
        self.functions = len(module.func_typeidxs())
        self.imported = self.functions - len(module.funcs)
        self.memories = len(module.memory_types())
        #: The function last asked for, and its branches and indirect calls by offset.
        self.known = -1
        self.places: dict[int, Instr] = {}

    def each(self, read: Callable[[], _Ordered]) -> None:
        """What ``read`` returns has to ascend: nothing is read twice."""
        before = None
        for _ in range(self.cursor.count()):
            key = read()
            if before is not None and not before < key:
                raise self.cursor.error("not in order")
            before = key

    def check(self, kinds: frozenset[str]) -> None:
        """Nothing may be there that was not counted."""
        found = self.observed
        for kind, there in (
            ("counts", found.counts),
            ("arms", found.arms),
            ("targets", found.targets),
            ("pages", found.pages or found.bulk),
            ("tree", found.tree.children),
        ):
            if there and kind not in kinds:
                raise CheckpointError(f"they have {kind}, which were not counted")

    def read(self) -> None:
        self.each(self.function)
        self.each(self.branch)
        self.each(self.site)
        self.each(self.memory)
        self.each(self.bulk)
        self.tree()
        self.cursor.finish()

    def index(self, limit: int, what: str) -> int:
        index = self.cursor.u(32)
        if index >= limit:
            raise self.cursor.error(f"unknown {what} {index}")
        return index

    def body(self) -> tuple[int, list[Instr]]:
        index = self.index(self.functions, "function")
        if index < self.imported:
            raise self.cursor.error(f"function {index} is imported")
        return index, self.observed.module.funcs[index - self.imported].body

    def place(self, ops: tuple[Op, ...]) -> tuple[tuple[int, int], Instr]:
        function, body = self.body()
        if function != self.known:
            self.known = function
            self.places = {i.offset: i for i in body if i.op in COUNTED}
        offset = self.cursor.u(32)
        instr = self.places.get(offset)
        if instr is None or instr.op not in ops:
            names = " or ".join(op.name for op in ops)
            raise self.cursor.error(f"no {names} at 0x{offset:04x}")
        return (function, offset), instr

    def function(self) -> int:
        function, body = self.body()
        if function in self.observed.counts:
            raise self.cursor.error("not in order")
        counts = self.observed.counts[function] = [0] * len(body)
        position, count = 0, 0
        for _ in range(self.cursor.count()):
            following = self.index(len(body), "instruction")
            counts[position:following] = [count] * (following - position)
            position, count = max(following, position), self.cursor.u(64)
        counts[position:] = [count] * (len(body) - position)
        return function

    def branch(self) -> tuple[int, int]:
        place, instr = self.place(BRANCHES)
        counts = [self.cursor.u(64) for _ in range(self.cursor.count())]
        if len(counts) != arms_of(instr):
            raise self.cursor.error("wrong number of arms")
        self.observed.arms[place] = counts
        return place

    def site(self) -> tuple[int, int]:
        place, _ = self.place(INDIRECT)
        targets = self.observed.targets[place] = {}
        for _ in range(self.cursor.count()):
            known = self.cursor.flag()
            target = self.index(self.functions, "function") if known else None
            targets[target] = self.cursor.u(64)
        return place

    def memory(self) -> int:
        memory = self.index(self.memories, "memory")
        pages = self.observed.pages[memory] = {}
        for _ in range(self.cursor.count()):
            page = self.cursor.u(64)
            pages[page] = [self.cursor.u(64), self.cursor.u(64)]
        return memory

    def bulk(self) -> tuple[int, str]:
        memory = self.index(self.memories, "memory")
        name = self.cursor.name()
        if name not in BULK:
            raise self.cursor.error("unknown instruction of a memory")
        self.observed.bulk[memory, name] = [self.cursor.u(64), self.cursor.u(64)]
        return memory, name

    def tree(self) -> None:
        known = [self.observed.tree]
        for _ in range(self.cursor.count()):
            parent = known[self.index(len(known), "node")]
            node = parent.child(self.index(self.functions, "function"))
            node.calls, node.instructions = self.cursor.u(64), self.cursor.u(64)
            known.append(node)
