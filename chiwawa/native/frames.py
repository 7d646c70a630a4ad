"""How a rewritten function saves its frame, and is entered again in the middle.

Each safepoint and each call that may be suspended is an *entry*. Code that saves a frame stands
behind all loops, where nobody comes by who does not stop; what leads back to an entry stands at the
head of the function and of each loop around it, in the arm that is taken when somebody is to stop
there, for rewinding sets that condition, too. At its own entry, a loop is begun anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from chiwawa.lower.lowered import Lowered
from chiwawa.native import code
from chiwawa.native.layout import (
    CEILING,
    DEPTH,
    EXHAUSTED,
    INTERRUPTED,
    MODE,
    RECORD_ENTRY,
    RECORD_VALUES,
    REWINDING,
    SLOT,
    TRAPPED,
    record_size,
)
from chiwawa.native.operands import Operands
from chiwawa.native.scopes import (
    At,
    Branch,
    BranchIf,
    BranchTable,
    Close,
    Label,
    Open,
    OpenIf,
    Piece,
)
from chiwawa.native.tables import CALL, TRAP, Entry
from chiwawa.native.unit import Unit
from chiwawa_runtime.engine.segments import MAX_DEPTH
from chiwawa_runtime.state.types import I32, FuncType, NumType, RefType, ValType


@dataclass(slots=True, eq=False)
class Site:
    """An entry being made. ``label`` is where the function goes on from there. Of a call in
    progress, ``again`` calls the callee once more, whose frame is the next, with arguments that
    play no part; its results are then where they would be."""

    number: int
    entry: Entry
    label: Label = field(default_factory=Label)
    again: bytes = b""
    saved: Label | None = None


@dataclass(slots=True, eq=False)
class Inner:
    """A loop inside of a scope: its own entry, and all those up to number ``last``. ``label`` is
    before it."""

    site: Site
    last: int
    label: Label


#: How many entries lead where, in the order of their numbers.
Arms: TypeAlias = list[tuple[int, list[Piece]]]


class Frames:
    """The entries of one function, and the code for them. ``depth``: the local that has the depth
    that the function starts at, where it matters."""

    def __init__(self, unit: Unit, lowered: Lowered, operands: Operands) -> None:
        self.unit = unit
        self.lowered = lowered
        self.operands = operands
        self.base = operands.new_local(I32)
        self.wanted = operands.new_local(I32)
        self.depth = operands.new_local(I32) if lowered.index in unit.deep else None
        self.recursive = lowered.index in unit.recursive
        self.sites: list[Site] = []
        self.unwound = Label()
        #: What is saved where: the labels of code behind all loops, with that code.
        self.cold: list[tuple[Label, list[Piece]]] = []
        #: Where the function traps by itself, with code offsets.
        self.traps: list[tuple[Label, int]] = []

    def site(self, kind: str, offset: int, types: tuple[ValType, ...]) -> Site:
        site = Site(len(self.sites), Entry(kind, offset, types))
        self.sites.append(site)
        return site

    def trap(self, offset: int) -> Label:
        """Where the frame is saved, so that all frames of the trap are known."""
        label = Label()
        self.traps.append((label, offset))
        return label

    def place_traps(self) -> None:
        """Number them, behind all entries at which the function may go on."""
        for label, offset in self.traps:
            site = self.site(TRAP, offset, ())
            trapped = code.i32(0) + code.i32(TRAPPED)
            trapped += code.store(I32, self.unit.shadow, MODE)
            self.cold.append((label, [trapped, *self.save(site)]))

    # Saving.

    def saving(self, site: Site) -> Label:
        """Where the frame is saved at ``site``."""
        if site.saved is None:
            site.saved = Label()
            self.cold.append((site.saved, self.save(site)))
        return site.saved

    def saving_call(self, called: Site, host: Site) -> Label:
        """Where the frame is saved behind a call through a table: at the boundary before it, where
        it was a host function that was interrupted."""
        label = Label()
        elsewhere = self.saving(host)
        place = next(i for i, (each, _) in enumerate(self.cold) if each is elsewhere)
        interrupted = self.unit.mode() + code.i32(INTERRUPTED) + code.AND
        pieces = [interrupted, BranchIf(elsewhere), *self.save(called)]
        # Before what it branches to.
        self.cold.insert(place, (label, pieces))
        return label

    def save(self, site: Site) -> list[Piece]:
        """All that differs from one entry to another; the rest does ``unwind``."""
        types = site.entry.types
        size = record_size((*self.lowered.locals, *types))
        out = code.i32(size) + code.i32(self.lowered.index) + code.i32(site.number)
        out += code.call(self.unit.save) + code.local_set(self.base)
        first = len(self.lowered.locals)
        for height, valtype in enumerate(types):
            out += self.put(first + height, valtype, self.operands.slot(height, valtype))
        return [out, Branch(self.unwound)]

    def put(self, place: int, valtype: ValType, local: int) -> bytes:
        """Store a local as a value of the record."""
        address = RECORD_VALUES + SLOT * place
        value = code.local_get(local)
        if isinstance(valtype, RefType):
            value += code.call(self.unit.keep[valtype.heap])
            valtype = I32
        assert isinstance(valtype, NumType)
        return code.local_get(self.base) + value + code.store(valtype, self.unit.shadow, address)

    def fetch(self, place: int, valtype: ValType, local: int) -> bytes:
        """The opposite."""
        address = RECORD_VALUES + SLOT * place
        out = code.local_get(self.base)
        if isinstance(valtype, RefType):
            out += code.load(I32, self.unit.shadow, address)
            out += code.call(self.unit.take[valtype.heap])
        else:
            assert isinstance(valtype, NumType)
            out += code.load(valtype, self.unit.shadow, address)
        return out + code.local_set(local)

    def unwind(self) -> bytes:
        """The end of the function where its frame is saved: what all entries have in common."""
        out = b"".join(self.put(i, t, i) for i, t in enumerate(self.lowered.locals))
        return out + b"".join(map(code.zero, self.lowered.type.results))

    # Entering again.

    def enter(self) -> bytes:
        """Take the next record: its locals, and which entry is wanted."""
        out = code.call(self.unit.next) + code.local_tee(self.base)
        out += code.load(I32, self.unit.shadow, RECORD_ENTRY) + code.local_set(self.wanted)
        return out + b"".join(self.fetch(i, t, i) for i, t in enumerate(self.lowered.locals))

    def resume(self, site: Site) -> list[Piece]:
        """Have the operands of an entry, and do there what it takes to go on behind it."""
        first = len(self.lowered.locals)
        out = b"".join(
            self.fetch(first + height, t, self.operands.slot(height, t))
            for height, t in enumerate(site.entry.types)
        )
        if site.entry.kind == CALL:
            return [out, At(site.entry.offset), site.again]
        return [out + code.call(self.unit.resumed)]

    def called_again(self, callee: bytes, functype: FuncType, types: tuple[ValType, ...]) -> bytes:
        """A call whose arguments play no part; ``types`` are of the operands beneath."""
        args = b"".join(map(code.zero, functype.params))
        results = (*types, *functype.results)
        return args + callee + self.operands.set(results, len(types))

    def is_to_go_on(self, counted: bool) -> bytes:
        """Push whether the function, which begins, is to run from its start. Where its first
        instruction is a safepoint itself, that one counts."""
        unit = self.unit
        if self.depth is None:
            return unit.is_to_go_on() if counted or not unit.counts else unit.mode() + code.EQZ
        depth = code.i32(0) + code.load(I32, unit.shadow, DEPTH) + code.local_set(self.depth)
        if not self.recursive:
            test = unit.is_to_go_on() if counted or not unit.counts else unit.mode() + code.EQZ
            return depth + test
        room = code.local_get(self.depth) + unit.cell(CEILING) + code.BYTE["i32.lt_s"]
        if not unit.counts:
            return depth + room
        test = unit.is_to_go_on() if counted else unit.mode() + code.EQZ
        return depth + test + room + code.AND

    def head(self, site: Site, inside: list[Site | Inner], counted: bool) -> list[Piece]:
        """What a function begins with; ``inside`` are the entries in its scope. Where the frame is
        wanted in the middle, it goes there."""
        begins = Label()
        out: list[Piece] = [Open(begins), self.is_to_go_on(counted), BranchIf(begins, likely=True)]
        arms: Arms = [(1, [*self.resume(site), Branch(begins)])]
        out += self.rewinding([self.enter()], 0, [*arms, *self.arms(inside)])
        if self.recursive:
            assert self.depth is not None
            deep = code.local_get(self.depth) + code.i32(MAX_DEPTH) + code.BYTE["i32.ge_s"]
            exhausted = code.i32(0) + code.i32(EXHAUSTED)
            exhausted += code.store(I32, self.unit.shadow, MODE)
            if counted and self.unit.counts:
                # It does not come to its first safepoint.
                exhausted += self.unit.uncounted()
            out += [deep, OpenIf(), exhausted, Close()]
        out += [Branch(self.saving(site)), Close(begins)]
        return out

    def loop_head(self, site: Site, inside: list[Site | Inner]) -> list[Piece]:
        """What a loop begins with. Whoever goes on at its own entry comes from before it; so where
        there is no other in it, the loop has nothing in it but a branch to what is behind it.
        A call, however rarely it is made, would have an engine keep fewer values in registers."""
        if not inside:
            return [self.unit.is_to_stop(), BranchIf(self.saving(site), likely=False)]
        begins = Label()
        out: list[Piece] = [Open(begins), self.unit.is_to_go_on(), BranchIf(begins, likely=True)]
        out += self.rewinding([], site.number + 1, self.arms(inside))
        out += [Branch(self.saving(site)), Close(begins)]
        return out

    def arms(self, inside: list[Site | Inner]) -> Arms:
        """What leads to each of these entries."""
        arms: Arms = []
        for each in inside:
            if isinstance(each, Site):
                arms.append((1, [*self.resume(each), Branch(each.label)]))
                continue
            # The loop counts it once more.
            again = self.unit.uncounted() if self.unit.counts else b""
            arms.append((1, [*self.resume(each.site), again, Branch(each.label)]))
            others = each.last - each.site.number
            if others:
                arms.append((others, [Branch(each.label)]))
        return arms

    def rewinding(self, first: list[Piece], lowest: int, arms: Arms) -> list[Piece]:
        """While rewinding: do ``first``, and take one of ``arms``, to the entries from number
        ``lowest`` on."""
        out = [self.unit.mode() + code.i32(REWINDING) + code.AND, OpenIf(), *first]
        if len(arms) == 1:
            return [*out, *arms[0][1], Close()]
        labels = [Label() for _ in arms]
        out += map(Open, reversed(labels))
        out.append(code.local_get(self.wanted))
        if lowest:
            out.append(code.i32(lowest) + code.SUB)
        table = [
            label for label, (count, _) in zip(labels, arms, strict=True) for _ in range(count)
        ]
        out.append(BranchTable([*table, table[0]]))
        for label, (_, pieces) in zip(labels, arms, strict=True):
            out += [Close(label), *pieces]
        return [*out, Close()]
