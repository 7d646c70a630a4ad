"""Control as Python control: a tree of items to statements guarded by ``pc``.

A loop becomes ``while True``, an ``if`` an ``if``; a block becomes nothing: its statements stand in
line, and a branch to its end is whatever is cheapest there: falling off the end of a suite,
``break``, ``continue``, or setting ``pc`` to the code offset of the block's end and skipping until
there.

``pc`` is 0 in a program that simply runs. Otherwise it is the code offset to go to, and what lies
before it is skipped by guards: ``if not pc`` before what is only run, ``if pc <= X`` before what
can be entered at X. Offsets grow along the code, so a guard lets in 0 and its own X and nothing
later. A frame that is restored is entered with ``pc`` set in just that way, to a safepoint's
offset, or to one more than the offset of a call in progress. So a branch far out and a restored
frame are one mechanism, and guards stand only where one of the two can arrive.

Python nests few loops, so a function with very deep ones is laid flat instead: one ``while True``,
in which a branch back sets ``pc`` and starts again from the top, past guards that are nested in
turn so that finding the place takes a logarithmic number of tests.
"""

from __future__ import annotations

import ast
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush

from chiwawa.aot.items import (
    Block,
    Br,
    BrTable,
    Call,
    Flat,
    If,
    Item,
    Loop,
    Mark,
    Plain,
    Poll,
    Survey,
    last_of,
    leaves,
)
from chiwawa.aot.statements import (
    call_statements,
    located,
    nested,
    not_pc,
    pc_is,
    poll_statement,
    result_statement,
    set_pc,
)
from chiwawa.lower.lowered import Lowered
from chiwawa.meanings import fold
from chiwawa.meanings.fold import Node, const, name
from chiwawa.validate import Label

#: Nested loops and indents that Python takes, less what the function itself needs.
MOST_LOOPS = 17
MOST_INDENTS = 60
#: Arms of a br_table that are chosen by comparisons.
FEW_ARMS = 4
#: More than any code offset.
ALWAYS = 1 << 32


#: Where a branch leads: a label, and whether it leaves a loop instead of going to its head.
Target = tuple[Label, bool]


class Reach:
    """Where control gets to by falling off an end: to ``targets``, and to what ``outer`` reaches,
    which is shared by all that fall there."""

    __slots__ = ("outer", "targets")

    def __init__(self, targets: set[Target], outer: Reach | None = None) -> None:
        self.targets = targets
        self.outer = outer

    def __contains__(self, target: Target) -> bool:
        reach: Reach | None = self
        while reach is not None:
            if target in reach.targets:
                return True
            reach = reach.outer
        return False


NOWHERE = Reach(set())


@dataclass(slots=True)
class Context:
    """Where a suite stands. ``tail``: what falling off its end reaches; ``breaks``: what ``break``
    reaches; ``escapes`` collects the labels for which ``pc`` leaves the Python loop that it is in.
    ``broken`` holds True once that has been left by ``break``."""

    loop: Label | None
    end: int
    tail: Reach
    breaks: Reach
    escapes: set[Label]
    broken: list[bool]
    indent: int

    def inside(self, tail: Reach) -> Context:
        """The context of a suite in the same loop, one deeper."""
        return Context(
            self.loop, self.end, tail, self.breaks, self.escapes, self.broken, self.indent + 1
        )


@dataclass(slots=True)
class Suite:
    """Statements; whether control can fall off their end; the codes ``pc`` may then have."""

    body: list[ast.stmt]
    falls: bool
    far: set[int] = field(default_factory=set)


def structure(lowered: Lowered, items: list[Item]) -> tuple[list[ast.stmt], bool]:
    """The statements of a function's body, and whether they use ``pc``."""
    return _Structure(lowered).run(items)


class _Structure:
    def __init__(self, lowered: Lowered) -> None:
        self.lowered = lowered
        self.uses_pc = False
        self.laid_flat = False
        #: The codes of labels that only exist here.
        self.codes: dict[Label, int] = {}
        #: Labels whose marks stand in some suite, and the Python loop that it is in.
        self.homes: dict[Label, Label | None] = {}
        self.survey: Survey

    def run(self, items: list[Item]) -> tuple[list[ast.stmt], bool]:
        self.survey = Survey(items)
        last = last_of(items)
        self.uses_pc = last > 0
        context = Context(None, 0, NOWHERE, NOWHERE, set(), [], 1)
        if self.survey.loops > MOST_LOOPS:
            self.laid_flat = self.uses_pc = True
            suite = self.sequence(items, context, ALWAYS)
            return [ast.While(const(True), suite.body, [])], True
        suite = self.sequence(items, context, last)
        return suite.body, self.uses_pc

    def code_of(self, label: Label) -> int:
        """The value of ``pc`` that leads to ``label``: for a loop, to its end, whence around."""
        code = self.codes.get(label)
        if code is not None:
            return code
        if self.laid_flat and label.loops:
            return self.lowered.body[label.start].offset
        return self.lowered.body[label.end].offset

    def spliced(self, items: Sequence[Flat], indent: int) -> list[Flat]:
        """``items`` with blocks (and, laid flat, loops) in line, their marks among them, and so
        what is too deep for an ``if`` of Python."""
        result: list[Flat] = []
        work: list[Flat] = list(reversed(items))
        while work:
            item = work.pop()
            if isinstance(item, Block):
                work.append(Mark(item.label, self.code_of(item.label)))
                work.extend(reversed(item.body))
            elif isinstance(item, Loop) and self.laid_flat:
                work.extend(reversed(item.body))
                work.append(Mark(item.label, self.code_of(item.label)))
            elif isinstance(item, If) and self.too_deep(item, indent):
                work.extend(reversed(self.unnested(item)))
            else:
                result.append(item)
        return result

    def too_deep(self, item: If, indent: int) -> bool:
        """Whether Python could not take this ``if`` as one."""
        if self.laid_flat and item.loops:
            return True
        if indent < MOST_INDENTS:
            return False
        return any(isinstance(i, If | Loop | Block) for i in (*item.then, *item.orelse))

    def unnested(self, item: If) -> list[Flat]:
        """An ``if`` as branches around its arms."""
        end = Label(None, -2, (), (), None, 0, True)
        other = Label(None, -2, (), (), None, 0, True)
        self.codes[end] = item.end_offset
        self.codes[other] = item.else_offset
        away: list[Flat] = [] if leaves(item.then) or not item.orelse else [Br(end)]
        skip = If(fold.invert(item.test), [Br(other)], [], item.else_offset, item.end_offset)
        between = Mark(other, item.else_offset)
        return [skip, *item.then, *away, between, *item.orelse, Mark(end, item.end_offset)]

    # Branches.

    def resolve(self, item: Br, context: Context, tail: Reach) -> str:
        """How a branch is made: ``fall return continue break far restart`` or ``escape``."""
        label = item.label
        target = (label, item.exits)
        if target in tail:
            return "fall"
        if label.outermost:
            return "return"
        if self.laid_flat and label.loops:
            return "restart"
        if context.loop is label and not item.exits:
            return "continue"
        if target in context.breaks:
            return "break"
        if self.is_near(label, context):
            return "far"
        return "escape"

    def is_near(self, label: Label, context: Context) -> bool:
        """Whether the mark of ``label``, which something in ``context`` leads to, stands in the
        same Python loop."""
        return label in self.homes and self.homes[label] is context.loop

    def branch(self, item: Br, context: Context, tail: Reach) -> Suite:
        way = self.resolve(item, context, tail)
        if way == "fall":
            return Suite([], True)
        if way == "return":
            return Suite([ast.Return(item.value)], False)
        if way == "continue":
            return Suite([ast.Continue()], False)
        if way == "break":
            context.broken.append(True)
            return Suite([ast.Break()], False)
        self.uses_pc = True
        code = self.code_of(item.label)
        if way == "far":
            return Suite([set_pc(code)], True, {code})
        if way == "restart":
            return Suite([set_pc(code), ast.Continue()], False)
        context.escapes.add(item.label)
        return Suite([set_pc(code), ast.Break()], False)

    def table(self, item: BrTable, context: Context, tail: Reach) -> Suite:
        arms: list[tuple[int, Label]] = []
        for index, label in enumerate(item.labels):
            if not arms or arms[-1][1] is not label:
                arms.append((index, label))
        if len(arms) <= FEW_ARMS:
            return self.choose(item.index, arms, context, tail)
        self.uses_pc = True
        codes = [self.code_of(label) for label in item.labels]
        picked = ast.Subscript(
            ast.Tuple([const(code) for code in codes[:-1]], fold.LOAD), item.index, fold.LOAD
        )
        inside = fold.compare(ast.Lt(), item.index, const(len(codes) - 1))
        value = ast.IfExp(inside, picked, const(codes[-1]))
        body: list[ast.stmt] = [ast.Assign([ast.Name("pc", fold.STORE)], value)]
        if self.laid_flat:
            heads = [self.code_of(label) for label in item.labels if label.loops]
            if heads:
                # What lies behind is found again from the top.
                body.append(ast.If(pc_is(ast.LtE(), max(heads)), [ast.Continue()], []))
            return Suite(body, True, set(codes) - set(heads))
        labels = set(item.labels)
        here = {label for label in labels if self.is_near(label, context)}
        body += self.leave(labels - here, context)
        return Suite(body, bool(here), set(map(self.code_of, here)))

    def choose(
        self,
        index: Node,
        arms: Sequence[tuple[int, Label]],
        context: Context,
        tail: Reach,
    ) -> Suite:
        if len(arms) == 1:
            return self.branch(Br(arms[0][1]), context, tail)
        middle = len(arms) // 2
        low = self.choose(index, arms[:middle], context, tail)
        high = self.choose(index, arms[middle:], context, tail)
        test = fold.compare(ast.Lt(), index, const(arms[middle][0]))
        return self.joined(test, low, high)

    def leave(self, labels: set[Label], context: Context) -> list[ast.stmt]:
        """After ``pc`` may have got the code of one of ``labels``, which lie outside this Python
        loop or are its own: go there."""
        body: list[ast.stmt] = []
        loop = context.loop
        outside = labels
        if loop in labels:
            outside = labels - {loop}
            test = pc_is(ast.Eq(), context.end)
            body.append(ast.If(test, [set_pc(0), ast.Continue()], []))
        if outside:
            context.escapes |= outside
            # Within the loop every code is smaller than that of its end.
            body.append(ast.If(pc_is(ast.Gt(), context.end), [ast.Break()], []))
        return body

    def joined(self, test: Node, then: Suite, orelse: Suite) -> Suite:
        """An ``if`` of two suites, in its simplest form."""
        far = then.far | orelse.far
        falls = then.falls or orelse.falls
        if not then.body and not orelse.body:
            return Suite([], True, far)
        if not then.body:
            test, then, orelse = fold.invert(test), orelse, then
        body: list[ast.stmt] = [ast.If(test, then.body, orelse.body)]
        if not then.falls and orelse.body:
            body = [ast.If(test, then.body, []), *orelse.body]
        return Suite(body, falls, far)

    # Sequences.

    def sequence(
        self, items: Sequence[Flat], context: Context, pending: int, led: bool = False
    ) -> Suite:
        """A suite. ``pc`` may, on entry, be any place to resume at up to ``pending`` or, where it
        is ``led``, something that lies behind the suite."""
        flat = self.spliced(items, context.indent)
        loop = context.loop
        for item in flat:
            if isinstance(item, Mark):
                self.homes[item.label] = loop
        return _Sequence(self, flat, context, pending, led).run()


class _Sequence:
    """One suite in the making. ``group`` is the list where statements go that need ``pc`` to be 0;
    ``guard`` the ``if`` that holds it, where there is one."""

    def __init__(
        self,
        owner: _Structure,
        items: list[Flat],
        context: Context,
        pending: int,
        led: bool,
    ) -> None:
        self.owner = owner
        self.items = items
        self.context = context
        self.pending = pending
        self.led = led
        #: The codes that ``pc`` may have been set to in this suite.
        self.far: set[int] = set()
        #: A heap of them, and of some that are no longer among them.
        self.nearest: list[int] = []
        #: Where the marks among the items are.
        self.marks = [i for i, item in enumerate(items) if isinstance(item, Mark)]
        self.places = {items[i].label: i for i in self.marks}  # type: ignore[union-attr]
        self.out: list[ast.stmt] = []
        self.group: list[ast.stmt] | None = None
        self.guard: ast.If | None = None
        self.falls = True

    def run(self) -> Suite:
        position = 0
        while position < len(self.items) and self.falls:
            position = self.step(position)
        return Suite(nested(self.out), self.falls, self.far)

    # Groups.

    def runs(self) -> bool:
        """Whether ``pc`` is 0 here for certain."""
        return not self.pending and not self.led and not self.far

    def opened(self) -> list[ast.stmt]:
        """The list for statements that run when ``pc`` is 0."""
        if self.group is None:
            if self.runs():
                self.group, self.guard = self.out, None
            else:
                self.start(not_pc(), 0, [])
        assert self.group is not None
        return self.group

    def start(self, test: Node, code: int, body: list[ast.stmt]) -> None:
        self.guard = ast.If(test, body, [])
        self.guard.upto = code  # type: ignore[attr-defined]
        self.group = body
        self.out.append(self.guard)

    def lead(self, codes: set[int]) -> None:
        """``pc`` may have been set to one of ``codes``."""
        for code in codes - self.far:
            self.far.add(code)
            heappush(self.nearest, code)

    def close(self) -> None:
        self.group = self.guard = None

    def enter_at(self, code: int) -> list[ast.stmt]:
        """A group that can be entered with ``pc`` at ``code``, which nothing pending precedes."""
        self.close()
        self.far.discard(code)
        if self.pending <= code:
            self.pending = 0
        if self.runs():
            self.group = self.out
            self.out.append(set_pc(0))
        else:
            self.start(pc_is(ast.LtE(), code), code, [set_pc(0)])
        assert self.group is not None
        return self.group

    # Items.

    def tail_after(self, position: int) -> Reach:
        """What is reached by falling out of the item at ``position``."""
        reached: set[Target] = set()
        for index in range(position + 1, len(self.items)):
            item = self.items[index]
            if not isinstance(item, Mark) or item.label.loops:
                return Reach(reached)
            reached.add((item.label, False))
        return Reach(reached, self.context.tail) if reached else self.context.tail

    def step(self, position: int) -> int:
        item = self.items[position]
        match item:
            case Plain(node=node, offset=offset):
                self.opened().append(located(node, offset))
            case Poll():
                self.poll(item)
            case Call():
                self.call(item)
            case Mark(code=code):
                if code in self.far or self.owner.laid_flat:
                    self.enter_at(code)
            case Br() | BrTable():
                tail = self.tail_after(position)
                group = self.opened()
                if isinstance(item, Br):
                    suite = self.owner.branch(item, self.context, tail)
                else:
                    suite = self.owner.table(item, self.context, tail)
                group += suite.body
                return self.jumped(position + 1, suite)
            case If():
                return self.if_(position, item)
            case Loop():
                self.loop(position, item)
            case Block():
                raise AssertionError("blocks have been spliced")
        return position + 1

    def jumped(self, position: int, suite: Suite) -> int:
        """After what may not fall through: only what ``pc`` leads on to goes on."""
        if suite.falls and not suite.far:
            return position
        guarded = self.guard is not None
        self.lead(suite.far)
        self.close()
        if not suite.falls or suite.far:
            self.falls = suite.falls or guarded or self.led or bool(self.far)
        return position

    def poll(self, item: Poll) -> None:
        group = self.enter_at(item.offset) if self.pending else self.opened()
        group.append(poll_statement(item.offset))

    def call(self, item: Call) -> None:
        group = self.opened()
        group += call_statements(item)
        if not item.resumes or not self.pending:
            return
        code = item.offset + 1
        assert self.guard is not None
        resumed = [set_pc(0), result_statement(item, ast.YieldFrom(name("callee")))]
        if self.pending <= code:
            self.pending = 0
        if self.runs():
            self.guard.orelse = resumed
        else:
            self.guard.orelse = [ast.If(pc_is(ast.Eq(), code), resumed, [])]
        self.guard.upto = code  # type: ignore[attr-defined]
        self.close()

    def arm(self, items: Sequence[Flat], tail: Reach, pending: int, led: bool = False) -> Suite:
        return self.owner.sequence(items, self.context.inside(tail), pending, led)

    def if_(self, position: int, item: If) -> int:
        owner = self.owner
        following = position + 1
        orelse: Sequence[Flat] = item.orelse
        swallowed = self.swallow(position, item)
        last = item.last
        if swallowed:
            following += len(swallowed)
            orelse = [*orelse, *swallowed]
            last = max(last, last_of(orelse))
        tail = self.tail_after(following - 1)
        if not last or not self.pending:
            group = self.opened()
            then_suite = self.arm(item.then, tail, 0)
            else_suite = self.arm(orelse, tail, 0)
            suite = owner.joined(item.test, then_suite, else_suite)
            group += suite.body
            return self.jumped(following, suite)
        group = self.opened()
        assert self.guard is not None
        chosen = ast.Name("t", fold.STORE)
        group.append(ast.Assign([chosen], item.test))
        self.guard.orelse = [ast.Assign([chosen], pc_is(ast.Lt(), item.else_offset))]
        # Something stands in its second arm for every later place, so it cannot be skipped.
        del self.guard.upto  # type: ignore[attr-defined]
        self.close()
        then_suite = self.arm(item.then, tail, last_of(item.then))
        else_suite = self.arm(orelse, tail, self.pending, self.led or bool(self.far))
        suite = owner.joined(name("t", 1), then_suite, else_suite)
        self.out += suite.body
        if self.pending <= last:
            self.pending = 0
        self.lead(suite.far)
        self.falls = suite.falls or not self.runs()
        return following

    def swallow(self, position: int, item: If) -> list[Flat]:
        """The items after an ``if`` whose first arm jumps over them, where they can be its second
        arm, so that the jump falls there by itself. None where the arm leaves anyway, or where that
        would hide a mark from something that leads to it."""
        owner = self.owner
        if not item.then or item.orelse or self.context.indent > MOST_INDENTS // 2:
            return []
        jump = item.then[-1]
        if not isinstance(jump, Br) or owner.laid_flat:
            return []
        way = owner.resolve(jump, self.context, NOWHERE)
        stop = len(self.items)
        if way == "far":
            stop = self.places.get(jump.label, stop)
        elif (jump.label, jump.exits) not in self.context.tail:
            return []
        if way in ("return", "continue", "break") and not (
            stop == position + 2 and isinstance(self.items[position + 1], Br)
        ):
            return []
        if self.hides(position, stop) or any(
            position < self.places.get(label, stop) < stop for label in owner.survey.aims(item)
        ):
            return []
        return self.items[position + 1 : stop]

    def hides(self, position: int, stop: int) -> bool:
        """Whether ``pc`` may have the code of a mark between the two."""
        last = bisect_left(self.marks, stop) - 1
        if last < 0 or self.marks[last] <= position:
            return False
        mark = self.items[self.marks[last]]
        assert isinstance(mark, Mark)
        nearest = self.nearest
        # Codes grow along the marks, and those that have been passed are not in ``far``.
        while nearest and nearest[0] not in self.far:
            heappop(nearest)
        return bool(nearest) and nearest[0] <= mark.code

    def loop(self, position: int, item: Loop) -> None:
        owner, context = self.owner, self.context
        head = item.body[0] if item.body else None
        inside = 0
        if not item.count or not self.pending:
            group = self.opened()
        elif item.count == 1 and isinstance(head, Poll):
            group = self.enter_at(head.offset)
        else:
            inside = item.last
            self.close()
            if self.pending <= inside:
                self.pending = 0
            if not self.runs():
                self.start(pc_is(ast.LtE(), inside), inside, [])
            else:
                self.group = self.out
            assert self.group is not None
            group = self.group
        label = item.label
        inner = Context(
            label,
            owner.code_of(label),
            Reach({(label, False)}),
            Reach({(label, True)}, self.tail_after(position)),
            set(),
            [],
            context.indent + 1,
        )
        exit_: list[Item] = [] if leaves(item.body) else [Br(label, exits=True)]
        suite = owner.sequence([*item.body, *exit_], inner, inside)
        group.append(ast.While(const(True), suite.body or [ast.Pass()], []))
        here = {target for target in inner.escapes if owner.is_near(target, context)}
        group += owner.leave(inner.escapes - here, context)
        far = set(map(owner.code_of, here))
        self.jumped(0, Suite([], bool(inner.broken or here), far))
