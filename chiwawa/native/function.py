"""One function rewritten, such that it can be stopped at its safepoints and entered again there.

Most instructions are copied as they stand. What changes is control: see ``scopes``, ``frames``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chiwawa.lower.lowered import Lowered
from chiwawa.module import Func, Instr
from chiwawa.native import code
from chiwawa.native.frames import Frames, Inner, Site
from chiwawa.native.layout import DETAIL, DROPPED
from chiwawa.native.operands import Operands
from chiwawa.native.relaxed import plainly
from chiwawa.native.scopes import (
    Assembled,
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
    Places,
    assemble,
    copy_of,
    length,
)
from chiwawa.native.tables import CALL, ENTRY, HOST, LOOP, FunctionTable
from chiwawa.native.unit import Unit
from chiwawa.opcodes import TABLE, Op
from chiwawa.validate import Label as Construct
from chiwawa_runtime.engine.segments import rise
from chiwawa_runtime.state.stacks import unrolled
from chiwawa_runtime.state.subtyping import stated
from chiwawa_runtime.state.types import V128, FuncType, RefType, ValType


@dataclass(frozen=True, slots=True)
class RewrittenFunction:
    """``body`` is what stands behind its size in the code section; ``record_size`` what a record of
    the function takes, ``refers`` whether it has references, and ``homed`` whether it has locals in
    memory."""

    body: bytes
    table: FunctionTable
    hints: list[tuple[int, bool]]
    record_size: int
    refers: bool
    homed: bool


#: A bare loop is unrolled to so many bytes, and rounds for each test whether to stop.
ENOUGH, MOST_ROUNDS = 80, 8


class Scope:
    """The function, or a loop of it: what has been written, the labels in the order of their
    places, and what can be entered in it."""

    __slots__ = ("before", "inside", "labels", "pieces", "site", "start")

    def __init__(self, site: Site, start: Label | None = None, before: Inner | None = None) -> None:
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


class _Rewriting:
    def __init__(self, unit: Unit, lowered: Lowered) -> None:
        self.unit = unit
        self.lowered = lowered
        self.operands = Operands(len(lowered.locals))
        self.frames = Frames(unit, lowered, self.operands)
        self.first = self.frames.site(ENTRY, lowered.body[0].offset, ())
        self.scope = Scope(self.first)
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
        self.passed = 0

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

    def run(self) -> None:
        lowered, operands = self.lowered, self.operands
        heights, reached = lowered.heights, lowered.reached
        homes = self.frames.homes
        copied_pops, rules = (POPS, RULES) if homes is None else WITH_HOMES
        #: How many operands are in their locals.
        settled = 0
        for position, instr in enumerate(lowered.body):
            op = instr[0]
            if self.live:
                count = copied_pops.get(op)
                if homes is not None and op in _LOCALS and instr[1][0] not in homes.locals:
                    count = POPS[op]
                if count is not None:
                    if heights[position] - count < settled:
                        self.flush(instr.offset)
                        operands.pending = heights[position] - settled
                        self.emit(operands.need(self.types(position), count))
                        settled = heights[position] - operands.pending
                    if self.copied is None:
                        self.copied = instr[2]
                    self.passed += position > 0
                    continue
                operands.pending = heights[position] - settled
            elif not self.is_end_of_dead(op, reached[position]):
                continue
            rule = rules[op]
            if self.copied is not None:
                self.flush(instr.offset)
            if self.live and not op.delimits:
                self.passed += position > 0 and not (op.loops or self.reaches_host(instr))
            if self.passed and (rule not in _STRAIGHT or op.loops or op.forks):
                self.emit(self.unit.passed(self.passed))
                self.passed = 0
            rule(self, position, instr)
            if self.live:
                settled = heights[position + 1] - operands.pending

    def is_end_of_dead(self, op: Op, reached: bool) -> bool:
        """Whether an instruction that cannot be reached by falling into it matters all the same:
        it delimits a construct that can."""
        assert not reached
        if op.opens:
            self.dead += 1
        elif op.delimits:
            if not self.dead:
                return True
            self.dead -= op.ends
        return False

    def types(self, position: int) -> tuple[ValType, ...]:
        types = self.lowered.types_at(position)
        for valtype in types:
            if type(valtype) is RefType:
                return tuple(map(stated, types))
        return types

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
        else:
            self.emit(self.operands.spill(types))
        self.open.append(construct)
        self.ends[construct] = Label()
        if construct.forks:
            # Where there is no second arm, the operands are where the end expects them.
            self.emit(code.EQZ, BranchIf(self.seconds[construct]))
        elif construct.loops:
            self.begin_loop(construct, instr, types)

    def begin_loop(self, construct: Construct, instr: Instr, types: tuple[ValType, ...]) -> None:
        site = self.frames.site(LOOP, instr.offset, types)
        before = Inner(site, site.number, Label())
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
                self.return_(self.lowered.type.results)
            self.die()
            return
        construct = self.open[-1]
        if self.live:
            self.emit(
                self.operands.spill(
                    tuple(map(stated, unrolled(construct.stack) + construct.results))
                )
            )
        if instr.op.divides:
            if self.live:
                self.emit(Branch(self.ends[construct]))
            self.scope.place(self.seconds.pop(construct))
            self.live = True
            return
        self.open.pop()
        if construct.loops:
            self.end_loop()
        else:
            if construct in self.seconds:
                self.scope.place(self.seconds.pop(construct))
            self.scope.place(self.ends[construct])
        self.live = construct.leaves
        self.operands.pending = 0

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
        if taken and first != target.height:
            self.emit(operands.need(types, len(taken)))
            self.emit(operands.set(types, first, target.height))
            operands.pending -= len(taken)
        elif taken:
            self.emit(operands.spill(types))
        self.emit(Branch(self.label_of(target)))

    def label_of(self, target: Construct) -> Label:
        return self.starts[target] if target.loops else self.ends[target]

    def moves(self, target: Construct, height: int) -> bool:
        """Whether a branch there, with ``height`` operands, is more than a branch."""
        return target.outermost or (target.arity > 0 and height - target.arity != target.height)

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
        if not self.moves(target, len(types) - 1):
            self.emit(BranchIf(self.label_of(target)))
            return
        self.emit(OpenIf())
        self.go_to(target, types[:-1])
        self.operands.pending = 0
        self.emit(Close())

    def branch_table(self, position: int, instr: Instr) -> None:
        targets = self.lowered.targets[position]
        types = self.types(position)
        self.emit(self.operands.need_alone(types, 1))
        self.operands.pending = 0
        height = len(types) - 1
        # Whose operands have to move goes through a block of its own.
        through = {t: Label() for t in dict.fromkeys(targets) if self.moves(t, height)}
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
        self.emit(Branch(self.frames.trap(instr.offset)))
        self.die()

    # Calls.

    def call(self, position: int, instr: Instr) -> None:
        unit, lowered, operands = self.unit, self.lowered, self.operands
        op = instr.op
        functype = lowered.calls[position]
        types = self.types(position)
        count = len(functype.params) + op.indirect
        callee: int | None = None if op.indirect else instr.imm[0]
        following = lowered.body[position + 1].offset
        host: Site | None = None
        if self.reaches_host(instr):
            host = self.host_call(position, instr, types)
        elif callee not in unit.suspends:
            self.emit(operands.need(types, count), Copy(instr.offset, following))
            operands.pending += len(functype.results) - count
            return
        by_record = host is not None or callee in unit.tailing
        values = len(lowered.locals) + len(types) - count
        depth = self.set_depth(callee, rise(values, self.frames.recursive, host is not None))
        self.emit(operands.need_alone(types, count))
        operands.pending = 0
        beneath = types[: len(types) - count]
        site: Site | None = None
        if not by_record:
            # Whoever enters the frame again calls here, too.
            site = self.frames.site(CALL, instr.offset, beneath)
            site.label = Label(unit.block_type(functype.params))
            site.again = self.frames.anything(functype.params)
            self.scope.place(site.label)
        elif op.indirect:
            depth += unit.set_callee(operands.slot(len(types) - 1, types[-1]), types[-1])
        results = beneath + functype.results
        made: Piece = Copy(instr.offset, following) if not op.tail else code.call(instr.imm[0])
        self.emit(depth, made, operands.set(results, len(beneath)))
        if host is not None and callee is not None:
            # Nothing waits in a call of the host: it is made again.
            self.emit(self.frames.know())
            self.emit(unit.mode(), BranchIf(self.frames.saving(host), likely=False))
            return
        if by_record:
            # An element of a table may be another by now, and tail calls lead anywhere.
            site = self.frames.site(CALL, instr.offset, beneath)
            site.again = depth + self.called_again(instr, functype, beneath)
            self.scope.place(site.label)
        assert site is not None
        saving = self.frames.saving(site) if host is None else self.frames.saving_call(site, host)
        self.scope.inside.append(site)
        self.emit(self.frames.know(), unit.mode(), BranchIf(saving, likely=False))

    def called_again(self, instr: Instr, functype: FuncType, beneath: tuple[ValType, ...]) -> bytes:
        """A call of the function whose record is the next."""
        unit = self.unit
        if not unit.tailing:
            again = unit.next_function() + code.call_indirect(instr.imm[0], unit.functions)
            return self.frames.called_again(again, functype, beneath)
        typeidx = unit.giving[functype.results]
        again = unit.next_function() + code.call_indirect(typeidx, unit.resumers)
        return self.frames.called_again(again, FuncType((), functype.results), beneath)

    def tail_call(self, position: int, instr: Instr) -> None:
        """What is called gets the place of the frame. Of an imported function it is a call, and
        what it gives is returned, since the host's may be interrupted."""
        unit, lowered, operands = self.unit, self.lowered, self.operands
        functype = lowered.calls[position]
        types = self.types(position)
        count = len(functype.params)
        if not instr.op.indirect and self.reaches_host(instr):
            self.call(position, instr)
            self.operands.pending = 0
            self.return_(types[: len(types) - count] + functype.results)
            self.die()
            return
        callee: int | None = None if instr.op.indirect else instr.imm[0]
        following = lowered.body[position + 1].offset
        if callee is None:
            self.host_call(position, instr, types)
        depth = b""
        if callee is None:
            values = len(lowered.locals) + len(types) - count - 1
            host_depth = rise(values, self.frames.recursive, True)
            assert self.frames.depth is not None
            depth = unit.set_depth(self.frames.depth, 0)
            depth += unit.set_host_depth(self.frames.depth, host_depth, tail=True)
        else:
            depth = self.set_depth(callee, 0)
        self.emit(operands.need(types, count + instr.op.indirect))
        if callee is None:
            depth += unit.set_callee(operands.slot(len(types) - 1, types[-1]), types[-1])
        if self.frames.homes is not None:
            depth += self.frames.homes.leave()
        self.emit(depth, Copy(instr.offset, following))
        self.die()

    def set_depth(self, callee: int | None, deeper: int) -> bytes:
        """Say how deep a function starts that is called (None: through a table)."""
        unit, depth = self.unit, self.frames.depth
        out = b""
        if callee is None or callee in unit.deep:
            assert depth is not None
            out += unit.set_depth(depth, deeper)
        if callee is None or callee < unit.spaces.imported_funcs:
            assert depth is not None
            out += unit.set_host_depth(depth, deeper)
        return out

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

    # Relaxed instructions.

    def relaxed(self, position: int, instr: Instr) -> None:
        types = self.types(position)
        count = len(instr.op.params)
        first = len(types) - count
        self.emit(self.operands.need(types, count))
        slot = self.operands.slot
        self.emit(plainly(instr.op, lambda place: slot(first + place, types[first + place])))
        self.operands.pending += 1 - count

    # Locals, where some have their home in memory.

    def local(self, position: int, instr: Instr) -> None:
        homes, op = self.frames.homes, instr.op
        assert homes is not None
        local = instr.imm[0]
        pops = POPS[op]
        if self.operands.pending < pops:
            self.emit(self.operands.need(self.types(position), pops))
        if pops:
            self.emit(homes.set(local, tee=op.name == "local.tee"))
        else:
            self.emit(homes.read(local))
        self.operands.pending += self.lowered.heights[position + 1] - self.lowered.heights[position]

    # Segments.

    def drop_segment(self, position: int, instr: Instr) -> None:
        following = self.lowered.body[position + 1].offset
        self.emit(Copy(instr.offset, following), dropped(self.unit, instr))

    def finish(self) -> list[Piece]:
        frames = self.frames
        head = frames.head(self.first, self.scope.inside, self.counted)
        frames.place_traps()
        inner = self.scope.closed(head)
        cold = frames.cold
        keeping = frames.keeping.values()
        labels = [*(label for label, _ in cold), *(label for label, _ in keeping), frames.unwound]
        begin = frames.homes.begin() if frames.homes else b""
        out: list[Piece] = [begin, *map(Open, reversed(labels)), *inner, code.UNREACHABLE]
        for label, pieces in cold:
            out += [Close(label), *pieces]
        for label, puts in keeping:
            out += [Close(label), puts, Branch(frames.unwound)]
        out += [Close(frames.unwound), frames.unwind(self.counted), code.END]
        return out


Rule = Callable[[_Rewriting, int, Instr], None]


def _rule(op: Op) -> Rule | None:
    """What is done for an instruction that is not just copied."""
    if op.opens:
        return _Rewriting.block
    if op.delimits:
        return _Rewriting.delimit
    if op.tail:
        return _Rewriting.tail_call
    if op.calls:
        return _Rewriting.call
    if op.switches:
        return _Rewriting.branch_table
    if op.conditional:
        return _Rewriting.branch_if
    if op.stops:
        return _Rewriting.branch if op.branches else _Rewriting.unreachable
    if op.immediates in (("dataidx",), ("elemidx",)):
        return _Rewriting.drop_segment
    if op.plain:
        return _Rewriting.relaxed
    return None


def _pops(op: Op) -> int:
    """How many operands an instruction takes that is copied."""
    if op.signature is not None:
        return len(op.params)
    if op.meaning is not None:
        return len(op.operands)
    # drop, and those for locals.
    return int(op.name != "local.get")


RULES: dict[Op, Rule] = {op: rule for op in TABLE if (rule := _rule(op)) is not None}
#: The rules of instructions behind which the function just goes on, but for loops and forks.
_STRAIGHT = (
    _Rewriting.block,
    _Rewriting.drop_segment,
    _Rewriting.relaxed,
    _Rewriting.local,
)
POPS: dict[Op, int] = {op: _pops(op) for op in TABLE if op not in RULES}
_LOCALS = {op for op in POPS if op.immediates == ("localidx",)}
#: The same where some locals have their home in memory.
WITH_HOMES = (
    {op: count for op, count in POPS.items() if op not in _LOCALS},
    RULES | dict.fromkeys(_LOCALS, _Rewriting.local),
)


def rewrite_function(unit: Unit, lowered: Lowered, original: bytes) -> RewrittenFunction:
    """``original`` is the function's body, its vector of locals included."""
    rewriting = _Rewriting(unit, lowered)
    rewriting.run()
    pieces = rewriting.finish()
    params = len(lowered.type.params)
    declared = code.declared((*lowered.locals[params:], *rewriting.operands.added))
    assembled: Assembled = assemble(pieces, original, len(declared))
    entries = tuple(site.entry for site in rewriting.frames.sites)
    table = FunctionTable(lowered.locals, entries, assembled.places)
    frames = rewriting.frames
    return RewrittenFunction(
        declared + assembled.body,
        table,
        assembled.hints,
        frames.record_size(),
        frames.refers,
        frames.homes is not None,
    )


def rewrite_simple(
    unit: Unit, func: Func, original: bytes, lowered: Lowered | None
) -> tuple[bytes, Places] | None:
    """A function that is never suspended: it notes what segments it drops, and where it traps by
    itself, and where it is ``lowered``, it counts its boundaries. None where it is to do nothing of
    this."""
    pieces: list[Piece] = []
    body = func.body
    copied = body[0].offset
    #: Locals for the operands of relaxed instructions.
    relaxed = max((len(instr.op.params) for instr in body if instr.op.plain), default=0)
    first = len(unit.spaces.types[func.typeidx].params) + len(func.locals)
    spare = range(first, first + relaxed)
    passed = 0
    for position, instr in enumerate(body):
        rule = RULES.get(instr.op)
        if lowered is not None:
            passed += lowered.reached[position]
            straight = rule is None or (rule in _STRAIGHT and not instr.op.forks)
            if passed and not straight:
                pieces += [Copy(copied, instr.offset), unit.passed(passed)]
                copied, passed = instr.offset, 0
        if rule is _Rewriting.drop_segment:
            following = body[position + 1]
            pieces += [Copy(copied, following.offset), dropped(unit, instr)]
            copied = following.offset
        elif rule is _Rewriting.relaxed:
            pieces += [Copy(copied, instr.offset), plainly(instr.op, spare.__getitem__)]
            copied = body[position + 1].offset
        elif rule is _Rewriting.unreachable:
            pieces += [Copy(copied, instr.offset), unreached(unit, instr)]
            copied = instr.offset
    if not pieces:
        return None
    pieces.append(Copy(copied, len(original)))
    declared = original[: body[0].offset]
    if relaxed:
        declared = code.declared((*func.locals, *[V128] * relaxed))
    assembled = assemble(pieces, original, len(declared))
    return declared + assembled.body, assembled.places


def unreached(unit: Unit, instr: Instr) -> bytes:
    """Note where the function traps."""
    return unit.set(DETAIL, code.i32(instr.offset))


def dropped(unit: Unit, instr: Instr) -> bytes:
    """Note that a segment has been dropped."""
    index = instr.imm[0]
    if instr.op.immediates == ("elemidx",):
        index += unit.flags_of_elems
    return code.i32(0) + code.i32(1) + code.access("i32.store8", unit.shadow, DROPPED + index)
