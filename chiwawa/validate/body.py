"""The stack machine that checks an expression (spec, appendix "Validation Algorithm").

What has a signature in the instruction table is checked from it, here; the rest has a rule in
``rules``. An operand whose type is unknown, because unreachable code would have made it, is None.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from chiwawa import limits
from chiwawa.opcodes import ADDR, ADDR2, SIZE, TABLE, Op
from chiwawa.validate.context import Context
from chiwawa_runtime.errors import InvalidError, UnsupportedError
from chiwawa_runtime.state.stacks import FEW, Pile, Stack
from chiwawa_runtime.state.subtyping import BOTTOM, matches
from chiwawa_runtime.state.types import (
    I32,
    I64,
    REF_EXN,
    FuncType,
    NumType,
    RefType,
    ValType,
    defaultable,
)

#: Locals that have been given a value, the last first, such that places share what is the same.
Settled = tuple[int, "Settled"] | None


@dataclass(frozen=True, slots=True)
class Handler:
    """Where exceptions of the tag ``tagidx`` (None: any) go on that a construct handles: at
    ``label``, as a branch there that carries what they have, and where ``ref`` says so, the
    exception itself above that. In the arms of a ``try`` it lies beneath instead; ``arm`` is then
    the position of the ``catch``, and ``label`` the construct's own."""

    tagidx: int | None
    label: Label
    ref: bool
    arm: int | None = None


class Label:
    """A construct that can be branched to. ``op`` is the instruction that opens it, if one
    does; positions are indices into the body, ``start`` is -1 for the outermost, which is the
    function. ``stack`` and ``height`` are of the operands beneath its parameters."""

    __slots__ = (
        "arms",
        "catching",
        "else_",
        "end",
        "floor",
        "forks",
        "guard",
        "handlers",
        "handles",
        "handling",
        "height",
        "in_arms",
        "leaves",
        "loops",
        "outermost",
        "params",
        "reached",
        "results",
        "settled",
        "stack",
        "start",
        "targeted",
        "thrown",
        "unreachable",
    )

    def __init__(
        self,
        op: Op | None,
        start: int,
        params: tuple[ValType, ...],
        results: tuple[ValType, ...],
        stack: Stack,
        height: int,
        reached: bool,
    ) -> None:
        #: Whether it is branched to at its start, may have two arms, is the function.
        self.loops = op is not None and op.loops
        self.forks = op is not None and op.forks
        #: Whether it handles exceptions: those in it, or in its first arm, by ``handlers``. What
        #: these do not handle, ``guard`` may: the next construct around that handles, or None.
        self.handles = op is not None and op.handles
        self.handlers: list[Handler] = []
        self.guard: Label | None = None
        #: Whether its handlers are arms of its own, and whether any exception may come to them.
        self.in_arms = op is not None and op.catches_in_arms
        self.thrown = False
        #: Whether a handler that is no arm of its own leads here.
        self.handling = False
        #: The positions where arms begin that handle exceptions, and whether it is in one of them.
        self.arms: list[int] = []
        self.catching = False
        self.outermost = start == -1
        self.start = start
        self.params = params
        self.results = results
        self.stack = stack
        self.height = height
        #: As far down code in it can pop. In an arm that handles an exception, that is beneath.
        self.floor = height
        #: Whether its start can be reached.
        self.reached = reached
        #: The rest of it, as far as it has been read, cannot run: operands can be of any type.
        self.unreachable = False
        self.else_: int | None = None
        self.end = 0
        #: Whether some branch that can be reached leads here.
        self.targeted = False
        #: Whether the end is reached, by falling into it or by a branch.
        self.leaves = False
        #: The locals that had been set at its start, of those that need to be.
        self.settled: Settled = None

    @property
    def outer_guard(self) -> Label | None:
        """The construct that handles what this one does not."""
        return None if any(h.tagidx is None for h in self.handlers) else self.guard

    def all_handlers(self) -> list[Handler]:
        """The handlers that an exception thrown in it is held against, one after the other: its
        own, then those of constructs around it. None is named for what one before it handles."""
        found: dict[int | None, Handler] = {}
        guard: Label | None = self
        while guard is not None:
            for handler in guard.handlers:
                if None not in found:
                    found.setdefault(handler.tagidx, handler)
            guard = guard.outer_guard
        return list(found.values())

    @property
    def types(self) -> tuple[ValType, ...]:
        """The operands that a branch here takes along."""
        return self.params if self.loops else self.results

    @property
    def arity(self) -> int:
        """How many operands a branch here takes along."""
        return len(self.types)


class Boundaries:
    """What is known before each instruction, by position: the operands, how many they are, and
    whether it can be reached at all (never at ``else`` and ``end``, which only delimit)."""

    __slots__ = ("heights", "reached", "settled", "stacks")

    def __init__(self) -> None:
        #: Which of the locals that have no value at first have one there, where there are such.
        self.settled: dict[int, Settled] = {}
        self.stacks: list[Stack] = []
        self.heights: list[int] = []
        self.reached: list[bool] = []


class Body:
    """An expression being checked: its operands, its open constructs (the innermost last), and what
    is found out about control on the way: where branches lead, what is called, what is reached.
    The dicts are by position, of instructions that can be reached."""

    __slots__ = (
        "below",
        "block",
        "blocks",
        "calls",
        "context",
        "guard",
        "guards",
        "height",
        "labels",
        "live",
        "locals",
        "nesting",
        "op",
        "position",
        "rethrown",
        "settled",
        "stack",
        "targets",
        "unset",
        "unsettled",
    )

    def __init__(
        self,
        context: Context,
        local_types: Sequence[ValType],
        results: tuple[ValType, ...],
        params: int = 0,
    ) -> None:
        """The first ``params`` of the locals are set from the start."""
        self.context = context
        self.locals = local_types
        #: The locals that have no value at first; those that may not be read yet; and those that
        #: have been set since they could not.
        self.unsettled = frozenset(
            index
            for index, valtype in enumerate(local_types)
            if index >= params and not defaultable(valtype)
        )
        self.unset = set(self.unsettled)
        self.settled: Settled = None
        self.stack: Stack = None
        self.height = 0
        #: The instruction that is checked, where it stands, and whether it can be reached.
        self.op: Op
        self.position = 0
        self.live = True
        self.block = Label(None, -1, (), results, None, 0, True)
        self.blocks = [self.block]
        #: The constructs, by where they start.
        self.labels: dict[int, Label] = {}
        #: Of br, br_if, return: one label. Of br_table: the vector, then the default.
        self.targets: dict[int, tuple[Label, ...]] = {}
        #: Of rethrow: the construct in whose arm it is that has the exception.
        self.rethrown: dict[int, Label] = {}
        #: The type of the function called there, and the operands beneath its own.
        self.calls: dict[int, FuncType] = {}
        self.below: dict[int, Stack] = {}
        #: The innermost construct that handles exceptions here; and which that is for those that
        #: an instruction may throw, or let through, by position.
        self.guard: Label | None = None
        self.guards: dict[int, Label] = {}
        #: How many constructs are in each other at most.
        self.nesting = 0

    def push(self, valtype: ValType | None) -> None:
        self.stack = (valtype, self.stack)
        self.height += 1

    def push_all(self, valtypes: tuple[ValType, ...]) -> None:
        stack = self.stack
        if len(valtypes) > FEW:
            stack = Pile(valtypes, len(valtypes), stack)
        else:
            for valtype in valtypes:
                stack = (valtype, stack)
        self.stack = stack
        self.height += len(valtypes)
        if self.height > limits.OPERANDS:
            raise UnsupportedError(f"more than {limits.OPERANDS:,} operands is not supported")

    def pop(self, expected: ValType) -> ValType | None:
        """Pop an operand, which must be ``expected``; give what it is."""
        actual = self.pop_any(expected)
        if actual is expected or actual is None or matches(actual, expected):
            return actual
        raise InvalidError(f"type mismatch: expected {expected}, found {actual}")

    def pop_any(self, expected: ValType | str = "an operand") -> ValType | None:
        """Pop an operand of whatever type; ``expected`` is for the message alone."""
        if self.height > self.block.floor:
            self.height -= 1
            actual, self.stack = self.stack  # type: ignore[misc]
            return actual
        if self.block.unreachable:
            return None
        raise InvalidError(f"type mismatch: expected {expected}, but the stack is empty")

    def pop_ref(self) -> RefType:
        """Pop a reference of whatever type."""
        operand = self.pop_any("a reference")
        if operand is None:
            return BOTTOM
        if not isinstance(operand, RefType):
            raise InvalidError(f"type mismatch: expected a reference, found {operand}")
        return operand

    def pop_all(self, expected: tuple[ValType, ...]) -> None:
        """Pop operands, of which the last of ``expected`` is the top."""
        while len(expected) > FEW and isinstance(self.stack, Pile):
            pile = self.stack
            count = min(pile.count, len(expected), self.height - self.block.floor)
            first = len(expected) - count
            if not count or pile.types[pile.count - count : pile.count] != expected[first:]:
                break
            self.stack = pile.without(count)
            self.height -= count
            expected = expected[:first]
        for valtype in reversed(expected):
            self.pop(valtype)

    def open(self, blocktype: FuncType) -> None:
        """The instruction opens a construct, whose parameters are popped already."""
        params, results = blocktype.params, blocktype.results
        label = Label(self.op, self.position, params, results, self.stack, self.height, self.live)
        label.settled = self.settled
        label.guard = self.guard
        self.block = label
        self.blocks.append(label)
        if self.live:
            self.labels[self.position] = label
            self.nesting = max(self.nesting, len(self.blocks) - 1)
        self.push_all(params)

    def arrive(self) -> None:
        """Fall into the end of the innermost construct or of its first arm, where its results must
        be all that is left of it."""
        block = self.block
        self.pop_all(block.results)
        if self.height != block.floor:
            count = self.height - block.floor
            raise InvalidError(f"type mismatch: {count} more operands than the block's results")
        block.leaves |= self.live

    def turn(self) -> None:
        """Go on with the second arm of the innermost construct."""
        block = self.block
        block.else_ = self.position
        block.unreachable = False
        self.live = block.reached
        # What unreachable code popped was never there.
        self.stack, self.height = block.stack, block.height
        self.push_all(block.params)
        self.unsettle(block)

    def guarded(self, handlers: Sequence[Handler]) -> None:
        """Exceptions thrown from here on, in the construct just opened, go to ``handlers``."""
        self.block.handlers += handlers
        self.guard = self.block

    def handle(self, tagidx: int | None, payload: tuple[ValType, ...]) -> None:
        """Go on with an arm of the innermost construct that handles exceptions of a tag (None: any)
        thrown in the first. The exception lies beneath what it carries."""
        block = self.block
        block.handlers.append(Handler(tagidx, block, True, self.position))
        block.arms.append(self.position)
        block.catching = True
        self.guard = block.guard
        block.unreachable = False
        self.live = block.thrown
        self.stack, self.height = block.stack, block.height
        self.push(REF_EXN)
        block.floor = self.height
        self.push_all(payload)
        self.unsettle(block)

    def delegate(self, label: Label) -> None:
        """Close the innermost construct, which has no arms: exceptions in it are handled as those
        in ``label`` are, which is around it."""
        block = self.block
        inside = label.handles and not label.catching
        self.guard, block.guard = block.guard, label if inside else label.guard
        self.close()

    def throw(self) -> None:
        """The instruction throws an exception, or may let one through."""
        if self.live and self.guard is not None:
            self.guards[self.position] = self.guard
            self.come_to(self.guard)

    def come_to(self, guard: Label | None) -> None:
        """An exception may come to ``guard``, which is asked for a handler of it."""
        while guard is not None and not guard.thrown:
            guard.thrown = True
            if guard.in_arms:
                # What handles it, and what does not, comes later.
                return
            for handler in guard.handlers:
                handler.label.targeted = handler.label.handling = True
                handler.label.leaves |= not handler.label.loops
            guard = guard.outer_guard

    def close(self) -> None:
        """Close the innermost construct."""
        block = self.blocks.pop()
        if self.guard is block:
            self.guard = block.guard
        if block.in_arms and block.thrown:
            self.come_to(block.outer_guard)
        block.end = self.position
        if block.forks and block.else_ is None:
            # Where the condition is false, the end is next.
            block.leaves |= block.reached
        self.live = block.leaves
        self.stack, self.height = block.stack, block.height
        self.unsettle(block)
        if self.blocks:
            self.block = self.blocks[-1]
            self.push_all(block.results)

    def settle(self, index: int) -> None:
        """The local is set from here on."""
        if index in self.unset:
            self.unset.remove(index)
            self.settled = (index, self.settled)

    def unsettle(self, block: Label) -> None:
        """What has been set within the construct may not have been."""
        while self.settled is not block.settled:
            assert self.settled is not None
            index, self.settled = self.settled
            self.unset.add(index)

    def label(self, depth: int) -> Label:
        """The construct that ``br depth`` leads to."""
        if depth >= len(self.blocks):
            raise InvalidError(f"unknown label {depth}")
        return self.blocks[-1 - depth]

    def branch(self, *labels: Label) -> None:
        """A branch to one of ``labels``, at this position."""
        if not self.live:
            return
        self.targets[self.position] = labels
        for label in labels:
            label.targeted = True
            label.leaves |= not label.loops

    def call(self, functype: FuncType) -> None:
        """A call of a function of that type, its callee popped already."""
        self.pop_all(functype.params)
        if self.live:
            if not self.op.tail:
                # What a tail call lets through comes out of the caller of this function.
                self.throw()
            self.calls[self.position] = functype
            self.below[self.position] = self.stack
        self.push_all(functype.results)

    def tail_call(self, functype: FuncType) -> None:
        """The same, of one that gives the results of this function instead of it."""
        results = self.blocks[0].results
        if len(functype.results) != len(results) or not all(
            map(matches, functype.results, results)
        ):
            raise InvalidError(
                f"type mismatch: a tail call of a function of type {functype} in one with results "
                f"{FuncType((), results)}"
            )
        self.call(functype)
        self.stop()

    def stop(self) -> None:
        """The rest of the innermost construct cannot be reached: its operands can be anything."""
        block = self.block
        self.stack, self.height = block.stack, block.height
        if block.catching:
            self.push(REF_EXN)
        block.unreachable = True
        self.live = False


#: A rule checks one instruction, given its immediates.
Imm = tuple[Any, ...]
Rule = Callable[[Body, Imm], None]
#: The types of the addresses in the memories or tables that an instruction names, the first and the
#: last.
Addresses = tuple[NumType, NumType]
#: A check of what an instruction with a signature names; it gives the types of addresses there.
Check = Callable[[Context, Op, Imm], Addresses]
_Types = tuple[ValType, ...]


class Typing:
    """How to check one instruction: by its ``rule``, or by its signature, after a ``check`` of what
    its immediates name. ``params`` has the top of the stack first; both depend on the address
    type."""

    __slots__ = ("check", "op", "params", "results", "rule", "signatures")

    def __init__(self, op: Op, rule: Rule | None, check: Check | None) -> None:
        self.op = op
        self.rule = rule
        self.check = check
        self.signatures: dict[Addresses, tuple[_Types, _Types]] = {}
        self.params: _Types = ()
        self.results: _Types = ()
        if rule is None:
            for addresses in ((I64, I64), (I64, I32), (I32, I64), (I32, I32)):
                self.params = tuple(_resolve(t, addresses) for t in reversed(op.params))
                self.results = tuple(_resolve(t, addresses) for t in op.results)
                self.signatures[addresses] = self.params, self.results


def _resolve(valtype: ValType | str, addresses: Addresses) -> ValType:
    if not isinstance(valtype, str):
        return valtype
    words = {ADDR: addresses[0], ADDR2: addresses[1], SIZE: I32 if I32 in addresses else I64}
    return words[valtype]


def build_typings(rules: dict[str, Rule], checks: dict[tuple[str, ...], Check]) -> dict[Op, Typing]:
    """A typing for each instruction. ``checks`` go by immediates."""
    return {
        op: Typing(op, None, checks.get(op.immediates))
        if op.signature is not None
        else Typing(op, rules[op.name], None)
        for op in TABLE
    }


def check_expr(
    body: Body,
    expr: Sequence[tuple[Op, Any, int]],
    typings: dict[Op, Typing],
    boundaries: Boundaries | None = None,
) -> None:
    """Check ``expr``, and note in ``boundaries`` what is known at each of its boundaries. Raises
    InvalidError, with the ``offset`` of the instruction at fault."""
    offset = 0
    kept = boundaries if boundaries is not None else Boundaries()
    keep_stack, keep_height = kept.stacks.append, kept.heights.append
    keep_reached = kept.reached.append
    unsettled = len(body.unsettled) > 0
    # Only rules look at the body, and change it: most instructions have signatures.
    stack, height, live = body.stack, body.height, body.live
    block = body.block
    try:
        for position, (op, imm, offset) in enumerate(expr):  # noqa: B007 (the handler reads it)
            typing = typings[op]
            keep_stack(stack)
            keep_height(height)
            if unsettled:
                kept.settled[position] = body.settled
            rule = typing.rule
            if rule is not None:
                keep_reached(live and not op.delimits)
                body.op = op
                body.position = position
                body.stack = stack
                body.height = height
                rule(body, imm)
                stack = body.stack
                height = body.height
                live = body.live
                block = body.block
                continue
            keep_reached(live)
            check = typing.check
            if check is None:
                params = typing.params
                results = typing.results
            else:
                params, results = typing.signatures[check(body.context, op, imm)]
            if params:
                floor = block.floor
                for expected in params:
                    if height > floor:
                        actual, stack = stack  # type: ignore[misc]
                        height -= 1
                        if (
                            actual is not expected
                            and actual is not None
                            and not matches(actual, expected)
                        ):
                            raise InvalidError(
                                f"type mismatch: expected {expected}, found {actual}"
                            )
                    elif not block.unreachable:
                        raise InvalidError(
                            f"type mismatch: expected {expected}, but the stack is empty"
                        )
            for valtype in results:
                stack = (valtype, stack)
                height += 1
        body.stack = stack
        body.height = height
    except InvalidError as error:
        error.offset = offset
        raise
