"""The inner form of a function to Python statements: control becomes Python's.

A loop becomes ``while True``, an ``if`` an ``if``; a block becomes nothing: its statements stand in
line (``flat``), and a branch to its end takes whatever way is cheapest there (``targets``,
``branches``).

What is set to go elsewhere sets ``pc``, the code offset to go to, and ``guards`` skip what lies
before. A frame that is restored is entered with ``pc`` set in just that way, to a safepoint's
offset, or to one more than the offset of a call in progress. So a branch far out and a restored
frame are one mechanism, and guards stand only where one of the two can arrive.
"""

from __future__ import annotations

import ast
from bisect import bisect_left
from collections.abc import Sequence

from chiwawa.aot import flat
from chiwawa.aot.branches import Branches
from chiwawa.aot.guards import Guards, nested, set_pc
from chiwawa.aot.ir import Block, Br, BrTable, Call, If, Loop, Plain, Poll, Step, jumps_away
from chiwawa.aot.statements import (
    Suite,
    call_statements,
    catching,
    joined,
    located,
    poll_statement,
    result_statement,
)
from chiwawa.aot.survey import Survey, last_resumption
from chiwawa.aot.targets import (
    NOWHERE,
    Context,
    FlatStep,
    Mark,
    PythonLoop,
    Reach,
    Targets,
    Way,
    tail_after,
)
from chiwawa.lower.lowered import Lowered
from chiwawa.meanings.fold import const, name


def structure(lowered: Lowered, steps: list[Step]) -> tuple[list[ast.stmt], bool]:
    """The statements of a function's body, and whether they use ``pc``."""
    survey = Survey(steps)
    is_flat = flat.needs_dispatch(survey)
    targets = Targets(lowered.body, is_flat)
    branches = Branches(targets)
    last = last_resumption(steps)
    context = Context(PythonLoop(None, 0, NOWHERE), NOWHERE, 1)
    resumes_up_to = flat.ANYWHERE if is_flat else last
    suite = _Function(survey, targets, branches).suite(steps, context, resumes_up_to, False)
    if is_flat:
        return flat.dispatch(suite.body), True
    return suite.body, last > 0 or branches.set_pc


class _Function:
    """What the suites of one function share."""

    def __init__(self, survey: Survey, targets: Targets, branches: Branches) -> None:
        self.survey = survey
        self.targets = targets
        self.branches = branches

    def suite(
        self, steps: Sequence[FlatStep], context: Context, resumes_up_to: int, passed: bool
    ) -> Suite:
        """The suite of ``steps``; ``Guards`` says what ``pc`` may be on entry."""
        steps = flat.in_line(steps, self.targets, context.indent)
        self.targets.begin(steps, context.loop)
        return _Sequence(self, steps, context, Guards(resumes_up_to, passed)).suite()


class _Sequence:
    """One suite in the making: its steps become statements, one after the other."""

    def __init__(
        self, function: _Function, steps: list[FlatStep], context: Context, guards: Guards
    ) -> None:
        self.function = function
        self.steps = steps
        self.context = context
        self.guards = guards
        #: Where the marks among the steps are.
        self.marks = [i for i, step in enumerate(steps) if isinstance(step, Mark)]
        self.places = {steps[i].label: i for i in self.marks}  # type: ignore[union-attr]
        #: Whether control can get to the next step.
        self.falls = True

    def suite(self) -> Suite:
        position = 0
        while position < len(self.steps) and self.falls:
            position = self.step(position)
        return Suite(nested(self.guards.statements), self.falls, self.guards.ahead)

    def tail_after(self, position: int) -> Reach:
        """What is reached by falling out of the step at ``position``."""
        return tail_after(self.steps, position, self.context.tail)

    def step(self, position: int) -> int:
        """Make the step at ``position``, and give the position of the next."""
        step = self.steps[position]
        match step:
            case Plain(node=node, offset=offset):
                if step.catches:
                    self.throwing(position, step, node, offset)
                else:
                    self.guards.running().append(located(node, offset))
            case Poll():
                self.poll(step)
            case Call():
                self.call(position, step)
            case Mark(pc=pc):
                if self.guards.skips_to(pc) or self.function.targets.flat:
                    self.guards.entered_at(pc)
            case Br() | BrTable():
                self.branch(position, step)
            case If():
                return self.if_(position, step)
            case Loop():
                self.loop(position, step)
            case Block():
                raise AssertionError("blocks have been laid in line")
        return position + 1

    def poll(self, step: Poll) -> None:
        guards = self.guards
        body = guards.entered_at(step.offset) if guards.resumes_up_to else guards.running()
        body.append(poll_statement(step.offset))

    def call(self, position: int, step: Call) -> None:
        guards = self.guards
        body = guards.running()
        suite = self.caught(position, step, Suite(call_statements(step), True))
        body += suite.body
        if guards.resumes_up_to:
            go_on = result_statement(step, ast.YieldFrom(name("callee")))
            again = self.caught(position, step, Suite([go_on], True))
            guards.instead_at(step.offset + 1, [set_pc(0), *again.body])
            guards.skip_to(suite.skips_to)
        else:
            self.falls = guards.grouped(suite)

    def throwing(self, position: int, step: Plain, node: ast.stmt, offset: int | None) -> None:
        """A plain statement that may throw an exception which is handled here."""
        body = self.guards.running()
        ends = jumps_away([step])
        suite = self.caught(position, step, Suite([located(node, offset)], not ends))
        body += suite.body
        self.falls = self.guards.grouped(suite)

    def caught(self, position: int, step: Plain | Call, suite: Suite) -> Suite:
        """``suite``, which is the whole of ``step``, with what is held against exceptions that come
        out of it."""
        if not step.catches:
            return suite
        context = self.context.inside(self.tail_after(position)).deeper()
        arms = [
            (catch.tagidx, self.function.suite(catch.steps, context, 0, False))
            for catch in step.catches
        ]
        return catching(suite, arms)

    def branch(self, position: int, step: Br | BrTable) -> None:
        tail = self.tail_after(position)
        body = self.guards.running()
        branches = self.function.branches
        if isinstance(step, Br):
            suite = branches.branch(step, self.context, tail)
        else:
            suite = branches.table(step, self.context, tail)
        body += suite.body
        self.falls = self.guards.grouped(suite)

    # Choices.

    def if_(self, position: int, step: If) -> int:
        swallowed = self.swallowed(position, step)
        following = position + 1 + len(swallowed)
        orelse: Sequence[FlatStep] = step.orelse
        last = step.last_resumption
        if swallowed:
            orelse = [*orelse, *swallowed]
            last = max(last, last_resumption(orelse))
        context = self.context.inside(self.tail_after(following - 1))
        function, guards = self.function, self.guards
        if not last or not guards.resumes_up_to:
            body = guards.running()
            then_suite = function.suite(step.then, context, 0, False)
            else_suite = function.suite(orelse, context, 0, False)
            suite = joined(step.test, then_suite, else_suite)
            body += suite.body
            self.falls = guards.grouped(suite)
            return following
        guards.chosen(step.test, step.else_offset)
        then_suite = function.suite(step.then, context, last_resumption(step.then), False)
        # Whatever lies further on runs through the second arm.
        else_suite = function.suite(orelse, context, guards.resumes_up_to, guards.may_pass())
        suite = joined(name("t", 1), then_suite, else_suite)
        self.falls = guards.ungrouped(suite, last)
        return following

    def swallowed(self, position: int, step: If) -> list[FlatStep]:
        """The steps after an ``if`` whose first arm jumps over them, where they can be its second
        arm, so that the jump falls there by itself. None where the arm leaves anyway, or where that
        would hide a mark from something that leads to it."""
        if not step.then or step.orelse or self.context.indent > flat.MOST_INDENTS // 2:
            return []
        jump = step.then[-1]
        targets = self.function.targets
        if not isinstance(jump, Br) or targets.flat:
            return []
        way = targets.way(jump, self.context, NOWHERE)
        stop = len(self.steps)
        if way is Way.SKIP:
            stop = self.places.get(jump.label, stop)
        elif (jump.label, jump.exits) not in self.context.tail:
            return []
        if way in (Way.RETURN, Way.CONTINUE, Way.BREAK) and not (
            stop == position + 2 and isinstance(self.steps[position + 1], Br)
        ):
            return []
        if self.hides(position, stop) or any(
            position < self.places.get(label, stop) < stop
            for label in self.function.survey.branches_of(step)
        ):
            return []
        return self.steps[position + 1 : stop]

    def hides(self, position: int, stop: int) -> bool:
        """Whether ``pc`` may be that of a mark between the two."""
        last = bisect_left(self.marks, stop) - 1
        if last < 0 or self.marks[last] <= position:
            return False
        mark = self.steps[self.marks[last]]
        assert isinstance(mark, Mark)
        # ``pc`` grows along the marks, and it leads to none of those before ``position``.
        return self.guards.skips_up_to(mark.pc)

    # Loops.

    def loop(self, position: int, step: Loop) -> None:
        function, context = self.function, self.context
        targets, branches = function.targets, function.branches
        inside = self.resumptions_inside(step)
        body = self.entry(step, inside)
        label = step.label
        ends = Reach({(label, True)}, self.tail_after(position))
        loop = PythonLoop(label, targets.pc_of(label), ends)
        exit_: list[Step] = [] if jumps_away(step.body) else [Br(label, exits=True)]
        suite = function.suite(
            [*step.body, *exit_],
            Context(loop, Reach({(label, False)}), context.indent + 1),
            inside,
            False,
        )
        body.append(ast.While(const(True), suite.body or [ast.Pass()], []))
        here = {target for target in loop.escapes if targets.is_near(target, context.loop)}
        body += branches.leave(loop.escapes - here, context)
        pcs = set(map(targets.pc_of, here))
        self.falls = self.guards.grouped(Suite([], loop.broken or bool(here), pcs))

    def resumptions_inside(self, step: Loop) -> int:
        """Up to which ``pc`` a loop is entered with it set: 0 where its head is the one place in it
        to be resumed at, which entering it from its start gets to."""
        if not step.resumptions or not self.guards.resumes_up_to:
            return 0
        alone = step.resumptions == 1 and bool(step.body) and isinstance(step.body[0], Poll)
        return 0 if alone else step.last_resumption

    def entry(self, step: Loop, inside: int) -> list[ast.stmt]:
        """The list where the Python loop goes."""
        if inside:
            return self.guards.entered_up_to(inside)
        if step.resumptions and self.guards.resumes_up_to:
            return self.guards.entered_at(step.last_resumption)
        return self.guards.running()
