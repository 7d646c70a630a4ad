"""What holds of the translator's inner form between ``tree``, which makes it, and ``structure``,
which relies on it. Tests check it; an ordinary run never does.

*Labels.* A construct's label stands once in the tree: a loop's is one that is branched to at its
start, a block's is not. Constructs lie in each other as their positions in the body do.

*Branches* lead to a construct around them or out of the function; a table never leads out. A
return, and nothing else, has a value, exactly where the function has results. None is ``exits``:
those are ``structure``'s own.

*Ends.* Nothing stands behind a step that nothing falls out of, and nothing falls off the end of the
function. ``Label.leaves`` is True exactly where the construct's end is reached.

*Places.* The ``pc`` of resumptions grows along the tree, strictly; starts and ends of constructs
lie among them as in the body. A choice of branches alone (of a ``br_table``) has no place, 0, and
holds nothing that has one.

*Safepoints.* There is a poll at each of the function's safepoints, in turn, or at none. A loop
whose head has one starts with it. A call stands where the body has one, and its results go to the
stack positions from where its operands were, to ``results``, or to one local.

*Catches.* What is done with an exception ends in a branch.

*Variables.* Where a step reads an operand's variable (or ``results``), it has been assigned, on
each way there. So have those of all operands at a poll, of all that wait beneath a call, of what a
branch takes along, where its target expects it, and of a construct's results behind it. Locals
named are the function's; variables of ``structure``'s own (``OWN``) are not named.

*Traps.* A statement can trap in one place at most, and then has its offset. What a call is given,
what a return gives, and what an ``if`` or a table tests cannot trap.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, NoReturn

from chiwawa.aot.ir import (
    ENDLESS,
    Block,
    Br,
    BrTable,
    Call,
    If,
    Loop,
    Plain,
    Poll,
    Step,
    jumps_away,
)
from chiwawa.aot.ir_printer import show, statement_text
from chiwawa.lower.lowered import Lowered
from chiwawa.meanings.expressions import text
from chiwawa.opcodes import TABLE
from chiwawa.validate import Label
from chiwawa_runtime.state import heap
from chiwawa_runtime.state.numerics import NAMESPACE
from chiwawa_runtime.state.vectors import is_named

#: Variables that steps do not name: ``structure`` and ``function`` have them for themselves.
OWN = frozenset(("callee", "pc", "resume", "t"))

_OPERAND = re.compile(r"s([0-9]+)")
_LOCAL = re.compile(r"l([0-9]+)")
_MEMORY = re.compile(r"m[0-9]+")
_FUNCTION = re.compile(r"f[0-9]+(_\w*)?")

#: Which operand variables have been assigned on each way to a place: bit ``i + 1`` for ``s<i>``,
#: the lowest for ``results``. None: nothing gets there.
Assigned = int | None


def check(steps: list[Step], lowered: Lowered) -> None:
    """Check the form of a whole function. AssertionError says which invariant is broken, and
    where."""
    checker = _Checker(lowered)
    if checker.sequence(steps, 0) is not None:
        checker.broken("ends", "something falls off the end of the function", steps[-1:])
    checker.safepoints()


def bits(low: int, above: int) -> int:
    """The variables of the operands from ``low`` up to, but not with, ``above``."""
    return (1 << above + 1) - (1 << low + 1)


def meet(a: Assigned, b: Assigned) -> Assigned:
    """What has been assigned where two ways come together."""
    if a is None or b is None:
        return b if a is None else a
    return a & b


@cache
def trapping_functions() -> frozenset[str]:
    """The functions and methods by which meanings trap."""

    def called(traps: bool) -> set[str]:
        return {
            function_name(node)
            for op in TABLE
            if op.meaning is not None and op.traps == traps
            for node in ast.walk(ast.parse(op.meaning))
            if isinstance(node, ast.Call)
        }

    return frozenset((called(True) - called(False)) | {"indirect"} | ENDLESS)


def function_name(node: ast.Call) -> str:
    function: Any = node.func
    return str(function.attr if isinstance(function, ast.Attribute) else function.id)


def traps_in(source: str) -> int:
    """In how many places ``source`` can trap."""
    count = 0
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Name() | ast.Attribute()):
                called = function_name(node)
                own = (
                    called not in NAMESPACE
                    and not is_named(called)
                    and called not in heap.NAMES
                    and _FUNCTION.fullmatch(called)
                )
                count += bool(own) or called in trapping_functions()
            case ast.Subscript(value=ast.Name(id=memory)):
                count += bool(_MEMORY.fullmatch(memory))
            case ast.BinOp(op=ast.FloorDiv() | ast.Mod()):
                count += 1
    return count


class _Checker:
    def __init__(self, lowered: Lowered) -> None:
        self.lowered = lowered
        self.positions = {instr.offset: p for p, instr in enumerate(lowered.body)}
        #: The constructs around the place that is checked, and all that have been opened.
        self.around: list[Label] = []
        self.opened: set[Label] = set()
        #: What has been assigned where branches leave for the end of a construct.
        self.arrivals: dict[Label, Assigned] = {}
        #: As if all variables had been assigned.
        self.everything = bits(0, max(lowered.heights) + 1) | 1
        self.last_resumption = self.last_mark = 0
        self.polls: list[int] = []

    def broken(self, invariant: str, what: str, steps: Sequence[Step]) -> NoReturn:
        raise AssertionError(f"{invariant}: {what}\n{show(steps)}")

    # Steps.

    def sequence(self, steps: list[Step], assigned: Assigned) -> Assigned:
        """Check ``steps``, which are begun with ``assigned``; give what is when they have run."""
        for step in steps:
            if assigned is None:
                self.broken("ends", "nothing gets here", [step])
            assigned = self.step(step, assigned)
        return assigned

    def step(self, step: Step, assigned: int) -> Assigned:
        match step:
            case Plain(node=node, offset=offset):
                self.catches(step, assigned)
                source = statement_text(node)
                traps = traps_in(source)
                if traps > 1 or (traps and offset is None):
                    self.broken("traps", f"it can trap in {traps} places", [step])
                assigned = self.run(source, assigned, step)
                return None if jumps_away([step]) else assigned
            case Poll():
                return self.poll(step, assigned)
            case Call():
                return self.call(step, assigned)
            case If():
                return self.if_(step, assigned)
            case Loop() | Block():
                return self.construct(step, assigned)
            case Br(label=label, value=value):
                if step.exits:
                    self.broken("branches", "it exits a loop", [step])
                has_value = label.outermost and bool(self.lowered.type.results)
                if not step.tail and has_value != (value is not None):
                    self.broken("branches", "a value where none is taken, or none", [step])
                if value is not None:
                    self.calm(text(value), assigned, step)
                self.branch(label, assigned, step)
            case BrTable(index=index, labels=labels):
                self.calm(text(index), assigned, step)
                for label in labels:
                    if label.outermost:
                        self.broken("branches", "a table leads out of the function", [step])
                    self.branch(label, assigned, step)
        return None

    def poll(self, step: Poll, assigned: int) -> int:
        self.resumption(step.offset, step)
        self.polls.append(step.offset)
        position = self.position(step.offset, step)
        self.need(bits(0, self.lowered.heights[position]), assigned, step)
        return assigned

    def catches(self, step: Plain | Call, assigned: int) -> None:
        for catch in step.catches:
            if self.sequence(catch.steps, assigned) is not None:
                self.broken("ends", "something falls off the end of a catch", [step])

    def call(self, step: Call, assigned: int) -> int:
        self.catches(step, assigned)
        lowered = self.lowered
        position = self.position(step.offset, step)
        if position not in lowered.calls:
            self.broken("safepoints", "the body has no call there", [step])
        indirect = () if step.target is None else (text(step.target), text(step.direct))
        for source in (text(step.value), *indirect):
            self.read(source, assigned, step)
            inside = ast.parse(source, mode="eval").body
            assert isinstance(inside, ast.Call)
            if function_name(inside) == "tails":
                (inside, _) = inside.args
                assert isinstance(inside, ast.Call)
            for argument in inside.args:
                if traps_in(ast.unparse(argument)):
                    self.broken("traps", "an argument can trap", [step])
        beneath = lowered.height_in_call(position)
        self.need(bits(0, beneath), assigned, step)
        self.resumption(step.offset + 1, step)
        count = len(lowered.calls[position].results)
        expected = [f"s{height}" for height in range(beneath, beneath + count)]
        to_local = count == len(step.targets) == 1 and _LOCAL.fullmatch(step.targets[0])
        if step.targets not in (expected, ["results"]) and not to_local:
            self.broken("safepoints", "its results go elsewhere", [step])
        return self.assign(step.targets, assigned, step)

    def if_(self, step: If, assigned: int) -> Assigned:
        self.calm(text(step.test), assigned, step)
        if step.end_offset == 0:
            for inner in (*step.then, *step.orelse):
                if not isinstance(inner, Plain | Br | BrTable) and not (
                    isinstance(inner, If) and inner.end_offset == 0
                ):
                    self.broken("places", "there are places in a choice without one", [step])
            return meet(self.sequence(step.then, assigned), self.sequence(step.orelse, assigned))
        then = self.sequence(step.then, assigned)
        self.mark(step.else_offset, step)
        orelse = self.sequence(step.orelse, assigned)
        self.mark(step.end_offset, step)
        return meet(then, orelse)

    def construct(self, step: Loop | Block, assigned: int) -> Assigned:
        label, lowered = step.label, self.lowered
        if label in self.opened or label.outermost or label.loops != isinstance(step, Loop):
            self.broken("labels", "its label is another's", [step])
        outer = self.around[-1] if self.around else lowered.function
        # The arms of a ``try`` have labels of their own, which begin where it does.
        if not outer.start <= label.start < label.end < outer.end:
            self.broken("labels", "it does not lie in what is around it", [step])
        if label.loops:
            self.mark(lowered.body[label.start].offset, step)
            first = step.body[0] if step.body else None
            count = len(self.polls)
        self.opened.add(label)
        self.around.append(label)
        after = self.sequence(step.body, assigned)
        self.around.pop()
        self.mark(lowered.body[label.end].offset, step)
        if label.loops:
            own = lowered.body[label.start].offset
            if own in self.polls[count:] and not (isinstance(first, Poll) and first.offset == own):
                self.broken("safepoints", "a loop does not start with its safepoint", [step])
        else:
            after = meet(after, self.arrivals.get(label))
        if after is None and label.leaves and label.handling:
            # What might have been thrown to it is not, or is caught before.
            after = self.everything
        if (after is not None) != label.leaves:
            self.broken("ends", "whether its end is reached is said wrongly", [step])
        if after is not None and after & 1 == 0:
            self.need(bits(label.height, label.height + len(label.results)), after, step)
        return after

    def branch(self, label: Label, assigned: int, step: Step) -> None:
        if label.outermost:
            if label is not self.lowered.function:
                self.broken("branches", "it leads out of another function", [step])
            return
        if label not in self.around:
            self.broken("branches", "it leads to nothing around it", [step])
        self.need(bits(label.height, label.height + label.arity), assigned, step)
        self.arrivals[label] = meet(self.arrivals.get(label), assigned)

    # Places.

    def position(self, offset: int, step: Step) -> int:
        position = self.positions.get(offset)
        if position is None or not self.lowered.reached[position]:
            self.broken("safepoints", "there is no boundary there", [step])
        return position

    def resumption(self, pc: int, step: Step) -> None:
        if not self.last_resumption < pc >= self.last_mark:
            self.broken("places", f"{pc} comes too late", [step])
        self.last_resumption = pc

    def mark(self, pc: int, step: Step) -> None:
        if not self.last_resumption < pc >= self.last_mark:
            self.broken("places", f"{pc} comes too late", [step])
        self.last_mark = pc

    def safepoints(self) -> None:
        body = self.lowered.body
        if self.polls and self.polls != [body[p].offset for p in sorted(self.lowered.safepoints)]:
            self.broken("safepoints", f"polls are at {self.polls}", [])

    # Variables.

    def run(self, source: str, assigned: int, step: Step) -> int:
        """A statement is run: what it reads has been assigned, and what it assigns is now."""
        self.read(source, assigned, step)
        stored = [n.id for n in _names(source) if isinstance(n.ctx, ast.Store)]
        return self.assign(stored, assigned, step)

    def calm(self, source: str, assigned: int, step: Step) -> None:
        """An expression is evaluated, which cannot trap."""
        if traps_in(source):
            self.broken("traps", "what it tests or gives can trap", [step])
        self.read(source, assigned, step)

    def read(self, source: str, assigned: int, step: Step) -> None:
        loaded = [n.id for n in _names(source) if isinstance(n.ctx, ast.Load)]
        self.need(self.variables(loaded, step), assigned, step)

    def assign(self, names: Iterable[str], assigned: int, step: Step) -> int:
        return assigned | self.variables(names, step)

    def variables(self, names: Iterable[str], step: Step) -> int:
        """The bits of those of ``names`` that are operands' variables, or ``results``."""
        found = 0
        for name in names:
            operand, local = _OPERAND.fullmatch(name), _LOCAL.fullmatch(name)
            if operand:
                found |= 2 << int(operand[1])
            elif local and int(local[1]) >= len(self.lowered.locals):
                self.broken("variables", f"there is no local {name}", [step])
            elif name in OWN or (name == "target" and not isinstance(step, Call)):
                self.broken("variables", f"{name} is not for steps", [step])
            elif name == "results":
                found |= 1
        return found

    def need(self, needed: int, assigned: int, step: Step) -> None:
        missing = needed & ~assigned
        if missing:
            height = (missing & -missing).bit_length() - 2
            name = "results" if height < 0 else f"s{height}"
            self.broken("variables", f"{name} may not have been assigned", [step])


def _names(source: str) -> list[ast.Name]:
    return [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)]
