"""Control of a function that is rewritten: its constructs, and where branches lead."""

from __future__ import annotations

from chiwawa.lower.lowered import Lowered
from chiwawa.module import Instr
from chiwawa.native import code
from chiwawa.native.frames import Frames, Inner, Site
from chiwawa.native.operands import Operands
from chiwawa.native.scopes import (
    At,
    Branch,
    BranchIf,
    BranchTable,
    Close,
    Copy,
    Label,
    Open,
    OpenIf,
    OpenLoop,
    Piece,
    copy_of,
    length,
)
from chiwawa.native.tables import ENTRY, HOST, LOOP
from chiwawa.native.unit import Unit
from chiwawa.validate import Label as Construct
from chiwawa_runtime.state.stacks import unrolled
from chiwawa_runtime.state.types import RefType, ValType

#: A bare loop is unrolled to so many bytes, and rounds for each test whether to stop.
ENOUGH, MOST_ROUNDS = 80, 8


class Scope:
    """The function, a loop of it or what handles exceptions: what has been written, the labels in
    the order of their places, and what can be entered in it. Of a loop, ``site`` is its own
    entry."""

    __slots__ = ("before", "inside", "labels", "pieces", "site", "start")

    def __init__(
        self, site: Site | None = None, start: Label | None = None, before: Inner | None = None
    ) -> None:
        self.site = site
        self.start = start
        self.before = before
        self.pieces: list[Piece] = []
        self.labels: list[Label] = []
        self.inside: list[Site | Inner] = []

    def place(self, label: Label) -> None:
        self.pieces.append(Close(label))
        self.labels.append(label)

    def closed(self, head: list[Piece]) -> list[Piece]:
        """All of it, with all its labels opened."""
        return [*map(Open, reversed(self.labels)), *head, *self.pieces]


class Control:
    """A function that is being rewritten: what has been written, and what is open."""

    def __init__(self, unit: Unit, lowered: Lowered) -> None:
        self.unit = unit
        self.lowered = lowered
        self.references = unit.references
        self.operands = Operands(len(lowered.locals), unit.references)
        self.frames = Frames(unit, lowered, self.operands)
        self.first = self.frames.site(ENTRY, lowered.body[0].offset, ())
        self.scope = Scope()
        self.scopes = [self.scope]
        #: Where constructs end, and their second arms begin.
        self.ends: dict[Construct, Label] = {}
        self.seconds: dict[Construct, Label] = {}
        self.starts: dict[Construct, Label] = {}
        self.open: list[Construct] = []
        self.live = True
        #: How many constructs are open that cannot be reached.
        self.dead = 0
        #: Where original code starts that is yet to be copied.
        self.copied: int | None = None
        #: A safepoint at the very start is counted there, and not where the function begins.
        begins = lowered.body[0]
        self.counted = not (begins.op.loops or self.reaches_host(begins))
        #: The boundaries, other than safepoints, that have been passed and are yet to be counted.
        self.passed = int(not lowered.safepoints)

    def reaches_host(self, instr: Instr) -> bool:
        """Whether an instruction calls what may be a function of the host's."""
        op = instr.op
        return op.indirect or (op.calls and instr.imm[0] < self.unit.spaces.imported_funcs)

    def emit(self, *pieces: Piece) -> None:
        self.scope.pieces += [piece for piece in pieces if piece]

    def flush(self, end: int) -> None:
        if self.copied is not None:
            self.scope.pieces.append(Copy(self.copied, end))
            self.copied = None

    def host_call(self, position: int, instr: Instr, types: tuple[ValType, ...]) -> Site:
        """The safepoint before a call that may reach the host."""
        assert position in self.lowered.safepoints
        self.emit(self.operands.spill(types))
        site = self.frames.site(HOST, instr.offset, types)
        self.emit(
            self.unit.is_to_stop(self.frames.counter),
            BranchIf(self.frames.saving(site), likely=False),
        )
        self.scope.place(site.label)
        self.scope.inside.append(site)
        return site

    def types(self, position: int) -> tuple[ValType, ...]:
        types = self.lowered.types_at(position)
        for valtype in types:
            if type(valtype) is RefType:
                return self.references.seen(types)
        return types

    def expecting(
        self, types: tuple[ValType, ...], last: tuple[ValType, ...]
    ) -> tuple[ValType, ...]:
        """``types``, but the last of them as closed types ``last``, which are above them."""
        if not last or not self.references.exact:
            return types
        return types[: len(types) - len(last)] + self.references.seen(last)

    def die(self) -> None:
        self.live = False
        self.operands.pending = 0

    # Constructs.

    def block(self, position: int, instr: Instr) -> None:
        construct = self.lowered.labels[position]
        types = self.types(position)
        if construct.forks:
            self.emit(self.operands.need_alone(types, 1))
            self.operands.pending = 0
            self.seconds[construct] = Label()
            self.carry(types[:-1], construct.params)
        else:
            wanted = self.expecting(types, construct.params)
            self.emit(self.operands.settle(types, wanted))
            types = wanted
        self.open.append(construct)
        self.ends[construct] = Label()
        if construct.forks:
            # Where there is no second arm, the operands are where the end expects them.
            self.emit(code.EQZ, BranchIf(self.seconds[construct]))
        elif construct.loops:
            self.begin_loop(construct, instr, types)

    def begin_loop(self, construct: Construct, instr: Instr, types: tuple[ValType, ...]) -> None:
        site = self.frames.site(LOOP, instr.offset, types)
        before = Inner(site, site.number, site.number, Label())
        self.scope.place(before.label)
        self.scope.inside.append(before)
        self.starts[construct] = Label()
        self.scope = Scope(site, self.starts[construct], before)
        self.scopes.append(self.scope)

    def end_loop(self) -> None:
        inner = self.scopes.pop()
        self.scope = self.scopes[-1]
        assert inner.before is not None
        assert inner.start is not None
        assert inner.site is not None
        inner.before.last = len(self.frames.sites) - 1
        start = inner.start
        if not inner.inside:
            self.bare_loop(inner, start)
            return
        head = self.frames.loop_head(inner.site, inner.inside)
        self.scope.pieces += [OpenLoop(start), *inner.closed(head), Close(start)]

    def bare_loop(self, loop: Scope, start: Label) -> None:
        """A loop that has no entry but its own. Where a round is so short that the test whether to
        stop would cost as much, there are several for each test."""
        frames, pieces = self.frames, self.scope.pieces
        assert loop.before is not None
        assert loop.site is not None
        before = next(
            i
            for i in range(len(pieces) - 1, -1, -1)
            if isinstance(piece := pieces[i], Close) and piece.label is loop.before.label
        )
        pieces[before:before] = frames.bare_loop_test(loop.site)
        body = loop.closed([])
        rounds = max(1, min(MOST_ROUNDS, ENOUGH // max(1, length(body))))
        left = Label()
        out: list[Piece] = [OpenLoop(start)]
        counter = frames.counter
        if counter is None:
            for _ in range(rounds):
                out += self.round_of(body, start, left)
        else:
            if counter.known and rounds > 1:
                # Several rounds at once, unless it is to stop in one of them.
                slow = Label()
                out += [Open(slow), frames.nears_limit(rounds), BranchIf(slow, likely=False)]
                for _ in range(rounds):
                    out += self.round_of(body, start, left)
                    out.append(self.unit.counted(counter) + code.DROP)
                out += [Branch(start), Close(slow)]
            out += self.round_of(body, start, left)
        out += [*frames.bare_loop_test(loop.site), Branch(start), Close(start)]
        pieces += [Open(left), *out, Close(left)] if self.live else out

    def round_of(self, body: list[Piece], start: Label, left: Label) -> list[Piece]:
        """A round of a loop, behind which it goes on where it begins the next, and to ``left``
        where it does not."""
        following = Label()
        leave: list[Piece] = [Branch(left)] if self.live else []
        return [Open(following), *copy_of(body, start, following), *leave, Close(following)]

    def delimit(self, position: int, instr: Instr) -> None:
        if not self.open:
            if self.live:
                self.return_(self.types(position))
            self.die()
            return
        construct = self.open[-1]
        self.settle(construct, position)
        if instr.op.divides:
            if self.live:
                self.emit(Branch(self.ends[construct]))
            self.scope.place(self.seconds.pop(construct))
            self.live = True
            return
        self.open.pop()
        self.close(construct)
        self.live = construct.leaves
        self.operands.pending = 0

    def settle(self, construct: Construct, position: int) -> None:
        """Have the operands where they are expected behind ``construct``, whose arm ends at
        ``position``."""
        if not self.live:
            return
        operands, types, results = self.operands, self.types(position), construct.results
        wanted = self.expecting(types, results)
        first = len(types) - len(results)
        if first == construct.height:
            self.emit(operands.settle(types, wanted))
            return
        # Between what is beneath it and its results there is an exception, which goes.
        self.emit(operands.need(types, len(results)))
        self.emit(operands.set(wanted, first, construct.height))
        operands.pending = 0

    def close(self, construct: Construct) -> None:
        if construct.loops:
            self.end_loop()
            return
        if construct in self.seconds:
            self.end_one_arm(construct)
        self.scope.place(self.ends[construct])

    def end_one_arm(self, construct: Construct) -> None:
        """The end of a construct that might have had a second arm: its parameters are its
        results."""
        beneath = self.references.seen(unrolled(construct.stack))
        params, results = map(self.references.seen, (construct.params, construct.results))
        moved = self.operands.moved(beneath + params, beneath + results)
        if moved and self.live:
            self.emit(Branch(self.ends[construct]))
        self.scope.place(self.seconds.pop(construct))
        self.emit(moved)

    # Branches.

    def branch(self, position: int, instr: Instr) -> None:
        self.go_to(self.lowered.targets[position][0], self.types(position))
        self.die()

    def go_to(self, target: Construct, types: tuple[ValType, ...]) -> None:
        """Branch there, from where the operands are of ``types``."""
        if target.outermost:
            self.return_(types)
            return
        operands = self.operands
        taken = target.types
        first = len(types) - len(taken)
        wanted = self.expecting(types, taken)
        if taken and first != target.height:
            self.emit(operands.need(types, len(taken)))
            self.emit(operands.set(wanted, first, target.height))
            operands.pending -= len(taken)
        elif taken:
            self.emit(operands.settle(types, wanted))
        self.emit(Branch(self.label_of(target)))

    def label_of(self, target: Construct) -> Label:
        return self.starts[target] if target.loops else self.ends[target]

    def carry(self, types: tuple[ValType, ...], last: tuple[ValType, ...]) -> tuple[ValType, ...]:
        """Have operands, which are in their locals, as if the last of them were of the closed types
        ``last``: the types that they are of then."""
        wanted = self.expecting(types, last)
        self.emit(self.operands.moved(types, wanted))
        return wanted

    def moves(self, target: Construct, types: tuple[ValType, ...]) -> bool:
        """Whether a branch there, with operands of ``types``, is more than a branch."""
        if target.outermost:
            return True
        if target.arity == 0:
            return False
        if len(types) - target.arity != target.height:
            return True
        return bool(self.operands.moved(types, self.expecting(types, target.types)))

    def return_(self, types: tuple[ValType, ...]) -> None:
        self.emit(self.operands.need(types, len(self.lowered.type.results)))
        if self.frames.homes is not None:
            self.emit(self.frames.homes.leave())
        self.emit(code.RETURN)

    def branch_if(self, position: int, instr: Instr) -> None:
        target = self.lowered.targets[position][0]
        types = self.types(position)
        self.emit(self.operands.need_alone(types, 1))
        self.operands.pending = 0
        beneath = self.carry(types[:-1], target.types)
        if not self.moves(target, beneath):
            self.emit(BranchIf(self.label_of(target)))
            return
        self.emit(OpenIf())
        self.go_to(target, beneath)
        self.operands.pending = 0
        self.emit(Close())

    def branch_table(self, position: int, instr: Instr) -> None:
        targets = self.lowered.targets[position]
        types = self.types(position)
        self.emit(self.operands.need_alone(types, 1))
        self.operands.pending = 0
        height = len(types) - 1
        # Whose operands have to move goes through a block of its own.
        through = {t: Label() for t in dict.fromkeys(targets) if self.moves(t, types[:-1])}
        table = [through[t] if t in through else self.label_of(t) for t in targets]
        if not through:
            self.emit(BranchTable(table))
        else:
            index = self.operands.slot(height, types[-1])
            self.emit(code.local_set(index), *map(Open, reversed(through.values())))
            self.emit(code.local_get(index), BranchTable(table))
            for target, label in through.items():
                self.emit(Close(label))
                self.go_to(target, types[:-1])
                self.operands.pending = 0
        self.die()

    def unreachable(self, position: int, instr: Instr) -> None:
        if self.lowered.safepoints:
            self.emit(Branch(self.frames.trap(instr.offset)))
        else:
            self.emit(self.unit.unreached(instr), At(instr.offset), code.UNREACHABLE)
        self.die()
