"""How a rewritten function saves its frame, and is entered again in the middle.

Each safepoint and each call that may be suspended is an *entry*. Code that saves a frame stands
behind all loops, where nobody comes by who does not stop; what leads back to an entry stands at the
head of the function and of each loop around it, in the arm that is taken when somebody is to stop
there, for rewinding sets that condition, too. At its own entry, a loop is begun anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TypeAlias

from chiwawa.lower.lowered import Lowered
from chiwawa.native import code
from chiwawa.native.homes import Homes, homed
from chiwawa.native.layout import (
    CEILING,
    DEPTH,
    INTERRUPTED,
    MODE,
    RECORD_VALUES,
    RP,
    SAFEPOINTS,
    SLOT,
    SP,
    TRAPPED,
    WHERE,
    slots,
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
    Piece,
)
from chiwawa.native.tables import CALL, TRAP, Entry
from chiwawa.native.unit import DEEP, LATE, NEEDED, SHALLOW, Counter, Unit
from chiwawa_runtime.state.types import (
    F32,
    F64,
    I32,
    I64,
    V128,
    FuncType,
    NumType,
    RefType,
    ValType,
)


@dataclass(slots=True, eq=False)
class Site:
    """An entry being made. ``label`` is where the function goes on from there. Of a call in
    progress, ``again`` comes before that: arguments, which play no part, for the callee, whose
    frame is the next; or where the callee comes from a table, all of the call, by the record."""

    number: int
    entry: Entry
    label: Label = field(default_factory=Label)
    again: bytes = b""
    saved: Label | None = None


@dataclass(slots=True, eq=False)
class Inner:
    """A scope inside of another: all its entries, from number ``first`` up to ``last``; of a loop,
    ``site`` is its own, the first. ``label`` is before it."""

    site: Site | None
    first: int
    last: int
    label: Label


#: How many entries lead where, in the order of their numbers.
Arms: TypeAlias = list[tuple[int, list[Piece]]]


def has_bare_loop(lowered: Lowered) -> bool:
    """Whether a loop calls nothing."""
    if not any(label.loops for label in lowered.labels.values()):
        return False
    calling: list[bool] = []
    for position, (op, _, _) in enumerate(lowered.body):
        if op.opens:
            label = lowered.labels.get(position)
            calling.append(label is None or not label.loops)
        elif op.calls:
            calling = [True] * len(calling)
        elif op.ends and calling and not calling.pop():
            return True
    return False


def _has_floats(types: Sequence[ValType]) -> bool:
    return F32 in types or F64 in types or V128 in types


#: Where there are no more ways to entries than this, their code is said to be rare.
FEW = 3


def rare(label: Label, *, behind: bool = False) -> list[Piece]:
    """Have an engine know that what ``label`` leads to is rare; or, ``behind``, what follows here:
    by a branch that is never taken, and a hint. It lays such code out behind all other, and drops
    the branch."""
    return [code.i32(0), BranchIf(label, likely=behind)]


class Frames:
    """The entries of one function, and the code for them. ``depth``: the local that has the depth
    that the function starts at, where it matters."""

    def __init__(self, unit: Unit, lowered: Lowered, operands: Operands) -> None:
        self.unit = unit
        self.lowered = lowered
        self.operands = operands
        self.depth = operands.new_local(I32) if lowered.index in unit.deep else None
        #: The slots of a record that the locals have, and of these the first of each.
        self.places = [*accumulate((slots((t,)) for t in lowered.locals), initial=0)]
        elsewhere = homed(lowered)
        self.homes: Homes | None = None
        if elsewhere:
            self.homes = Homes(unit, lowered, operands, elsewhere, self.places)
        self.recursive = lowered.index in unit.recursive
        self.has_bare_loop = has_bare_loop(lowered)
        self.has_floats = _has_floats(lowered.locals)
        #: The first local of each type.
        self.local_of: dict[ValType, int] = {}
        for local, valtype in enumerate(lowered.locals):
            if local not in elsewhere:
                self.local_of.setdefault(valtype, local)
        self.counter: Counter | None = None
        if unit.counts:
            # What has loops passes more than one safepoint for each time that it reads the count.
            loops = any(label.loops for label in lowered.labels.values())
            known = loops and unit.counts == SAFEPOINTS
            self.counter = Counter(operands.new_local(I64), known)
        self.sites: list[Site] = []
        self.unwound = Label()
        #: What is saved where: the labels of code behind all loops, with that code.
        self.cold: list[tuple[Label, list[Piece]]] = []
        #: How many of the types of references the records need (see ``NEEDED``).
        self.refers = 0
        #: How many slots a record has, at most.
        self.slots = 0
        #: What saves operands, by their types; it goes on to ``unwound``.
        self.keeping: dict[tuple[ValType, ...], tuple[Label, bytes]] = {}
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
            trapped = self.unit.set(MODE, code.i32(TRAPPED))
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
        interrupted = self.unit.mode() + code.i32(INTERRUPTED) + code.AND
        pieces = [interrupted, BranchIf(self.saving(host)), *self.save(called)]
        return self.before(host, pieces)

    def before(self, site: Site, pieces: list[Piece]) -> Label:
        """Where ``pieces`` are, behind all loops, which may branch to where the frame is saved at
        ``site``: so they stand before that."""
        label = Label()
        place = next(i for i, (each, _) in enumerate(self.cold) if each is site.saved)
        self.cold.insert(place, (label, pieces))
        return label

    def save(self, site: Site) -> list[Piece]:
        """All that differs from one entry to another; the rest does ``unwind``."""
        types = site.entry.types
        self.slots = max(self.slots, self.places[-1] + slots(types))
        out = self.unit.set(WHERE, code.i32(site.number))
        return [out, Branch(self.kept(types) if types else self.unwound)]

    def kept(self, types: tuple[ValType, ...]) -> Label:
        """Where operands of ``types`` are saved, whichever entry it is."""
        found = self.keeping.get(types)
        if found is None:
            places = accumulate((slots((t,)) for t in types), initial=self.places[-1])
            puts = (
                self.put(place, valtype, self.operands.slot(height, valtype))
                for height, (place, valtype) in enumerate(zip(places, types, strict=False))
            )
            found = self.keeping[types] = Label(), b"".join(puts)
        return found[0]

    def put(self, place: int, valtype: ValType, local: int) -> bytes:
        """Store a local as a value of the record."""
        value = code.local_get(local)
        if isinstance(valtype, RefType) or not (self.has_bare_loop or valtype is V128):
            kept = self.unit.references.kept(valtype)
            self.refers = max(self.refers, NEEDED.get(kept, 0))
            return code.i32(~place) + value + code.call(self.unit.keep[kept])
        address = RECORD_VALUES + SLOT * place
        return self.unit.get(SP) + value + code.store(valtype, self.unit.cells.records, address)

    def fetch(self, place: int, valtype: ValType, local: int) -> bytes:
        """The opposite."""
        if isinstance(valtype, RefType) or not (self.has_bare_loop or valtype is V128):
            references = self.unit.references
            take = code.i32(~place) + code.call(self.unit.take[references.kept(valtype)])
            return take + references.taken(valtype) + code.local_set(local)
        load = code.load(valtype, self.unit.cells.records, RECORD_VALUES + SLOT * place)
        return self.unit.get(RP) + load + code.local_set(local)

    def unwind(self, counted: bool) -> bytes:
        """The end of the function where its frame is saved: what all entries have in common. There
        is room for a record, and nothing is called before all values are in it: what has to outlive
        a call, however rarely it is made, an engine keeps on the stack, in loops, too.
        ``counted`` as for ``head``."""
        homes = self.homes
        out = homes.save(self.unit.get(SP)) if homes else b""
        out += b"".join(self.put(self.places[i], t, i) for i, t in self.locals())
        out += homes.leave() if homes else b""
        out += code.i32(~self.record_size()) + code.i32(~self.lowered.index)
        kind = (DEEP if counted else LATE) if self.recursive else SHALLOW
        out += code.call(self.unit.saved[kind])
        return out + self.anything(self.lowered.type.results)

    def locals(self) -> Iterable[tuple[int, ValType]]:
        """Those that ``homes``, where there are any, does not save and restore."""
        for local, valtype in enumerate(self.lowered.locals):
            if self.homes is None or not isinstance(valtype, NumType):
                yield local, valtype

    def record_size(self) -> int:
        """What all records of the function take."""
        return RECORD_VALUES + SLOT * self.slots

    # Entering again.

    def enter(self) -> bytes:
        """Take the next record, and the locals from it."""
        out = code.call(self.unit.next)
        out += self.homes.restore(self.unit.get(RP)) if self.homes else b""
        return out + b"".join(self.fetch(self.places[i], t, i) for i, t in self.locals())

    def resume(self, site: Site) -> list[Piece]:
        """Have the operands of an entry, and do there what it takes to go on behind it."""
        types = site.entry.types
        places = accumulate((slots((t,)) for t in types), initial=self.places[-1])
        held = self.unit.references.held
        out = b"".join(
            self.fetch(place, held(t), self.operands.slot(height, t))
            for height, (place, t) in enumerate(zip(places, types, strict=False))
        )
        if site.entry.kind == CALL:
            return [out, At(site.entry.offset), site.again]
        if self.has_bare_loop and (self.has_floats or _has_floats(site.entry.types)):
            # There is no register for a float that a call keeps.
            return [out + self.unit.cells.resumed() + self.know()]
        return [out + code.call(self.unit.resumed) + self.know()]

    def know(self) -> bytes:
        """Have the count known, where something else may have counted."""
        return self.unit.know(self.counter)

    def anything(self, types: Sequence[ValType]) -> bytes:
        """Push values of ``types``, whichever takes the fewest bytes."""
        if not types:
            return b""
        known, some = self.local_of, self.unit.references.some
        return b"".join(
            code.local_get(known[each]) if each in known else some(each) for each in types
        )

    def called_again(self, callee: bytes, functype: FuncType, types: tuple[ValType, ...]) -> bytes:
        """A call whose arguments play no part; ``types`` are of the operands beneath."""
        results = (*types, *functype.results)
        return self.anything(functype.params) + callee + self.operands.set(results, len(types))

    def resumed_by(
        self, callee: bytes, results: tuple[ValType, ...], types: tuple[ValType, ...]
    ) -> bytes:
        """A call without arguments whose results are as records keep them."""
        taken = self.operands.taken((*types, *results), len(types), self.unit.references)
        return callee + taken

    def is_to_go_on(self, counted: bool) -> bytes:
        """Push whether the function, which begins, is to run from its start. Where its first
        instruction is a safepoint itself, that one counts."""
        unit = self.unit
        if counted or not unit.counts:
            begin = unit.is_to_begin(self.counter, self.lowered.index)
        else:
            begin = self.know() + unit.mode() + code.EQZ
        if self.depth is None:
            return begin
        depth = unit.get(DEPTH) + code.local_set(self.depth)
        if not self.recursive:
            return depth + begin
        room = code.local_get(self.depth) + unit.cell(CEILING) + code.BYTE["i32.lt_s"]
        if not unit.counts:
            return depth + room
        return depth + begin + room + code.AND

    def head(self, site: Site, inside: list[Site | Inner], counted: bool) -> list[Piece]:
        """What a function begins with; ``inside`` are the entries in its scope. Where the frame is
        wanted in the middle, it goes there."""
        begins = Label()
        out: list[Piece] = [Open(begins), self.is_to_go_on(counted), BranchIf(begins, likely=True)]
        arms: Arms = [(1, [*self.resume(site), Branch(begins)])]
        arms += self.arms(inside)
        out += self.rewinding(self.saving(site), [self.enter()], 0, arms)
        return [*out, Close(begins)]

    def loop_head(self, site: Site, inside: list[Site | Inner]) -> list[Piece]:
        """What a loop begins with that has other entries in it. Whoever goes on at its own entry
        comes by here, too."""
        begins = Label()
        out: list[Piece] = [
            Open(begins),
            self.unit.is_to_go_on(self.counter),
            BranchIf(begins, likely=True),
        ]
        arms: Arms = [(1, [*self.resume(site), Branch(begins)]), *self.arms(inside)]
        out += self.rewinding(self.saving(site), [], site.number, arms)
        return [*out, Close(begins)]

    def handling_head(self, first: int, inside: list[Site | Inner]) -> list[Piece]:
        """What begins with that handles exceptions and has entries in it, from number ``first``
        on."""
        begins = Label()
        test = self.unit.mode() + code.EQZ
        out: list[Piece] = [Open(begins), test, BranchIf(begins, likely=True)]
        return [*out, *self.choice(first, self.arms(inside)), Close(begins)]

    def bare_loop_test(self, site: Site) -> list[Piece]:
        """The safepoint of a loop that has no entry but its own, which stands before the loop, and
        in it where a round is over: so the loop has nothing in it but a branch to what is behind
        it. Code in it, however rarely it is run, would have an engine keep fewer values in
        registers, and lay them out worse."""
        return [self.unit.is_to_stop(self.counter), BranchIf(self.saving(site), likely=False)]

    def nears_limit(self, rounds: int) -> bytes:
        """Push whether it may be to stop before so many safepoints more."""
        assert self.counter is not None
        count = code.local_get(self.counter.local) + code.i64(rounds) + code.ADD64
        return count + self.unit.limit() + code.BYTE["i64.ge_s"]

    def arms(self, inside: list[Site | Inner]) -> Arms:
        """What leads to each of these entries."""
        arms: Arms = []
        for each in inside:
            if isinstance(each, Site):
                arms.append((1, [*self.resume(each), Branch(each.label)]))
                continue
            entries = each.last - each.first + 1
            # A bare loop has no head in which anything is entered.
            first = self.resume(each.site) if entries == 1 and each.site is not None else []
            arms.append((entries, [*first, Branch(each.label)]))
        return arms

    def rewinding(self, saving: Label, first: list[Piece], lowest: int, arms: Arms) -> list[Piece]:
        """While rewinding: do ``first``, and take one of ``arms``, to the entries from number
        ``lowest`` on. Else go to ``saving``."""
        entering = Label()
        # Nobody comes here while frames are saved.
        test = self.unit.mode()
        out: list[Piece] = [Open(entering), test, BranchIf(entering, likely=False)]
        few = len(arms) <= FEW
        if few:
            out += rare(saving)
        return [*out, Branch(saving), Close(entering), *first, *self.choice(lowest, arms)]

    def choice(self, lowest: int, arms: Arms) -> list[Piece]:
        """Take one of ``arms``, to the entries from number ``lowest`` on."""
        if len(arms) == 1:
            return arms[0][1]
        few = len(arms) <= FEW
        out: list[Piece] = []
        labels = [Label() for _ in arms]
        out += map(Open, reversed(labels))
        if few:
            for label in labels:
                out += rare(label)
            out += rare(labels[0], behind=True)
        out.append(self.unit.get(WHERE))
        if lowest:
            out.append(code.i32(lowest) + code.SUB)
        table = [
            label for label, (count, _) in zip(labels, arms, strict=True) for _ in range(count)
        ]
        out.append(BranchTable([*table, table[0]]))
        for label, (_, pieces) in zip(labels, arms, strict=True):
            out += [Close(label), *pieces]
        return out
