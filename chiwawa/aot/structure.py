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
from collections.abc import Sequence
from dataclasses import dataclass, field

from chiwawa.aot import fold
from chiwawa.aot.fold import Node, const, name
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
    last_of,
    leaves,
    survey,
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
from chiwawa.lower import Lowered
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


@dataclass(slots=True)
class Context:
    """Where a suite stands. ``tail``: what falling off its end reaches; ``breaks``: what ``break``
    reaches; ``level``: the labels whose ends lie in the same Python loop; ``escapes`` collects the
    codes with which ``pc`` leaves that loop. ``broken`` holds True once it has been left by
    ``break``."""

    loop: Label | None
    end: int
    tail: frozenset[Target]
    breaks: frozenset[Target]
    level: frozenset[Label]
    escapes: set[int]
    broken: list[bool]
    indent: int

    def with_marks(self, marks: frozenset[Label]) -> Context:
        return Context(
            self.loop,
            self.end,
            self.tail,
            self.breaks,
            self.level | marks,
            self.escapes,
            self.broken,
            self.indent,
        )

    def inside(self, tail: frozenset[Target]) -> Context:
        """The context of a suite in the same loop, one deeper."""
        return Context(
            self.loop,
            self.end,
            tail,
            self.breaks,
            self.level,
            self.escapes,
            self.broken,
            self.indent + 1,
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

    def run(self, items: list[Item]) -> tuple[list[ast.stmt], bool]:
        deepest = survey(items)
        last = last_of(items)
        self.uses_pc = last > 0
        none: frozenset[Target] = frozenset()
        context = Context(None, 0, none, none, frozenset(), set(), [], 1)
        if deepest > MOST_LOOPS:
            self.laid_flat = self.uses_pc = True
            suite = self.sequence(items, context, ALWAYS, set())
            return [ast.While(const(True), suite.body, [])], True
        suite = self.sequence(items, context, last, set())
        return suite.body, self.uses_pc

    def code_of(self, label: Label) -> int:
        """The value of ``pc`` that leads to ``label``: for a loop, to its end, whence around."""
        code = self.codes.get(label)
        if code is not None:
            return code
        if self.laid_flat and label.kind == "loop":
            return self.lowered.body[label.start].offset
        return self.lowered.body[label.end].offset

    def spliced(self, items: Sequence[Flat]) -> list[Flat]:
        """``items`` with blocks (and, laid flat, loops) in line, their marks among them."""
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
            else:
                result.append(item)
        return result

    # Branches.

    def resolve(self, item: Br, context: Context, tail: frozenset[Target]) -> str:
        """How a branch is made: ``fall return continue break far restart`` or ``escape``."""
        label = item.label
        target = (label, item.exits)
        if target in tail:
            return "fall"
        if label.kind == "func":
            return "return"
        if self.laid_flat and label.kind == "loop":
            return "restart"
        if context.loop is label and not item.exits:
            return "continue"
        if target in context.breaks:
            return "break"
        if label in context.level:
            return "far"
        return "escape"

    def branch(self, item: Br, context: Context, tail: frozenset[Target]) -> Suite:
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
        context.escapes.add(code)
        return Suite([set_pc(code), ast.Break()], False)

    def table(self, item: BrTable, context: Context, tail: frozenset[Target]) -> Suite:
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
            heads = [self.code_of(label) for label in item.labels if label.kind == "loop"]
            if heads:
                # What lies behind is found again from the top.
                body.append(ast.If(pc_is(ast.LtE(), max(heads)), [ast.Continue()], []))
            return Suite(body, True, set(codes) - set(heads))
        here = {self.code_of(label) for label in item.labels if label in context.level}
        body += self.leave(set(codes) - here, context)
        return Suite(body, bool(here), here)

    def choose(
        self,
        index: Node,
        arms: Sequence[tuple[int, Label]],
        context: Context,
        tail: frozenset[Target],
    ) -> Suite:
        if len(arms) == 1:
            return self.branch(Br(arms[0][1]), context, tail)
        middle = len(arms) // 2
        low = self.choose(index, arms[:middle], context, tail)
        high = self.choose(index, arms[middle:], context, tail)
        test = fold.compare(ast.Lt(), index, const(arms[middle][0]))
        return self.joined(test, low, high)

    def leave(self, codes: set[int], context: Context) -> list[ast.stmt]:
        """After ``pc`` may have got one of ``codes``, which lie outside this Python loop or at its
        end: go there."""
        body: list[ast.stmt] = []
        if not codes:
            return body
        loop = context.loop
        if loop is not None and context.end in codes:
            test = pc_is(ast.Eq(), context.end)
            body.append(ast.If(test, [set_pc(0), ast.Continue()], []))
        outside = codes - {context.end}
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
        self, items: Sequence[Flat], context: Context, pending: int, far: set[int]
    ) -> Suite:
        """A suite. ``pc`` may, on entry, be any place to resume at up to ``pending``, or one of
        ``far``."""
        flat = self.spliced(items)
        marks = frozenset(m.label for m in flat if isinstance(m, Mark))
        if marks:
            context = context.with_marks(marks)
        return _Sequence(self, flat, context, pending, far).run()


class _Sequence:
    """One suite in the making. ``group`` is the list where statements go that need ``pc`` to be 0;
    ``guard`` the ``if`` that holds it, where there is one."""

    def __init__(
        self,
        owner: _Structure,
        items: list[Flat],
        context: Context,
        pending: int,
        far: set[int],
    ) -> None:
        self.owner = owner
        self.items = items
        self.context = context
        self.pending = pending
        self.far = far
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

    def opened(self) -> list[ast.stmt]:
        """The list for statements that run when ``pc`` is 0."""
        if self.group is None:
            if not self.pending and not self.far:
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

    def close(self) -> None:
        self.group = self.guard = None

    def enter_at(self, code: int) -> list[ast.stmt]:
        """A group that can be entered with ``pc`` at ``code``, which nothing pending precedes."""
        self.close()
        self.far.discard(code)
        if self.pending <= code:
            self.pending = 0
        if not self.pending and not self.far:
            self.group = self.out
            self.out.append(set_pc(0))
        else:
            self.start(pc_is(ast.LtE(), code), code, [set_pc(0)])
        assert self.group is not None
        return self.group

    # Items.

    def tail_after(self, position: int) -> frozenset[Target]:
        """What is reached by falling out of the item at ``position``."""
        reached: set[Target] = set()
        for item in self.items[position + 1 :]:
            if not isinstance(item, Mark):
                return frozenset(reached)
            if item.label.kind == "loop":
                return frozenset(reached)
            reached.add((item.label, False))
        return frozenset(reached | self.context.tail)

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
                self.loop(item)
            case Block():
                raise AssertionError("blocks have been spliced")
        return position + 1

    def jumped(self, position: int, suite: Suite) -> int:
        """After what may not fall through: only what ``pc`` leads on to goes on."""
        if suite.falls and not suite.far:
            return position
        guarded = self.guard is not None
        self.far |= suite.far
        self.close()
        if not suite.falls or suite.far:
            self.falls = suite.falls or guarded or bool(self.far)
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
        if not self.pending and not self.far:
            self.guard.orelse = resumed
        else:
            self.guard.orelse = [ast.If(pc_is(ast.Eq(), code), resumed, [])]
        self.guard.upto = code  # type: ignore[attr-defined]
        self.close()

    def arm(
        self, items: Sequence[Flat], tail: frozenset[Target], pending: int, far: set[int]
    ) -> Suite:
        return self.owner.sequence(items, self.context.inside(tail), pending, far)

    def if_(self, position: int, item: If) -> int:
        owner = self.owner
        if self.too_deep(item):
            self.items[position : position + 1] = self.unnested(item)
            return position
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
            then_suite = self.arm(item.then, tail, 0, set())
            else_suite = self.arm(orelse, tail, 0, set())
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
        then_suite = self.arm(item.then, tail, last_of(item.then), set())
        else_suite = self.arm(orelse, tail, self.pending, set(self.far))
        suite = owner.joined(name("t", 1), then_suite, else_suite)
        self.out += suite.body
        if self.pending <= last:
            self.pending = 0
        self.far = suite.far
        self.falls = suite.falls or bool(self.pending or self.far)
        return following

    def too_deep(self, item: If) -> bool:
        """Whether Python could not take this ``if`` as one."""
        if self.owner.laid_flat and item.loops:
            return True
        if self.context.indent < MOST_INDENTS:
            return False
        return any(isinstance(i, If | Loop | Block) for i in (*item.then, *item.orelse))

    def unnested(self, item: If) -> list[Flat]:
        """An ``if`` as branches around its arms."""
        end = Label("block", -2, (), (), None, 0, True)
        other = Label("block", -2, (), (), None, 0, True)
        self.owner.codes[end] = item.end_offset
        self.owner.codes[other] = item.else_offset
        marks = [Mark(other, item.else_offset), Mark(end, item.end_offset)]
        self.context.level |= {other, end}
        away: list[Flat] = [] if leaves(item.then) or not item.orelse else [Br(end)]
        skip = If(fold.invert(item.test), [Br(other)], [], item.else_offset, item.end_offset)
        survey([skip, *away, *marks])
        flat = self.owner.spliced([*item.then, *away, marks[0], *item.orelse, marks[1]])
        self.context.level |= {m.label for m in flat if isinstance(m, Mark)}
        return [skip, *flat]

    def swallow(self, position: int, item: If) -> list[Flat]:
        """The items after an ``if`` whose first arm jumps over them, where they can be its second
        arm, so that the jump falls there by itself. None where the arm leaves anyway, or where that
        would hide a mark from something that leads to it."""
        if not item.then or item.orelse or self.context.indent > MOST_INDENTS // 2:
            return []
        jump = item.then[-1]
        if not isinstance(jump, Br) or self.owner.laid_flat:
            return []
        way = self.owner.resolve(jump, self.context, frozenset())
        stop = len(self.items)
        if way == "far":
            for index in range(position + 1, len(self.items)):
                mark = self.items[index]
                if isinstance(mark, Mark) and mark.label is jump.label:
                    stop = index
                    break
        elif (jump.label, jump.exits) not in self.context.tail:
            return []
        rest = self.items[position + 1 : stop]
        if way in ("return", "continue", "break") and not (
            len(rest) == 1 and isinstance(rest[0], Br)
        ):
            return []
        for mark in rest:
            if isinstance(mark, Mark) and (mark.code in self.far or mark.label in item.aims):
                return []
        return rest

    def loop(self, item: Loop) -> None:
        owner, context = self.owner, self.context
        position = self.items.index(item)
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
            if self.pending or self.far:
                self.start(pc_is(ast.LtE(), inside), inside, [])
            else:
                self.group = self.out
            assert self.group is not None
            group = self.group
        label = item.label
        inner = Context(
            label,
            owner.code_of(label),
            frozenset(((label, False),)),
            self.tail_after(position) | {(label, True)},
            frozenset(),
            set(),
            [],
            context.indent + 1,
        )
        exit_: list[Item] = [] if leaves(item.body) else [Br(label, exits=True)]
        survey(exit_)
        suite = owner.sequence([*item.body, *exit_], inner, inside, set())
        group.append(ast.While(const(True), suite.body or [ast.Pass()], []))
        here = {owner.code_of(m) for m in context.level} & inner.escapes
        group += owner.leave(inner.escapes - here, context)
        self.jumped(0, Suite([], bool(inner.broken or here), here))
