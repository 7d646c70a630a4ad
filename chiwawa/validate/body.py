"""The stack machine that checks an expression (spec, appendix "Validation Algorithm").

What has a signature in the instruction table is checked from it, here; the rest has a rule in
``rules``. An operand whose type is unknown, because unreachable code would have made it, is None.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from chiwawa.module import Expr
from chiwawa.opcodes import ADDR, TABLE, Op
from chiwawa.validate.context import Context, matches
from chiwawa_runtime.errors import InvalidError, UnsupportedError
from chiwawa_runtime.types import I32, I64, FuncType, NumType, ValType

#: A few bytes of hostile code can push a thousand operands, so there must be a bound.
MAX_OPERANDS = 1_000_000


class Block:
    """An open block. ``op`` is its instruction's name, ``func`` for the outermost; ``height`` is
    that of the operand stack below its operands; ``unreachable``: the rest of it cannot run."""

    __slots__ = ("height", "op", "type", "unreachable")

    def __init__(self, op: str, blocktype: FuncType, height: int) -> None:
        self.op = op
        self.type = blocktype
        self.height = height
        self.unreachable = False

    @property
    def label(self) -> tuple[ValType, ...]:
        """The operands that a branch to this block takes along."""
        return self.type.params if self.op == "loop" else self.type.results


class Body:
    """An expression being checked: its operand stack (the top last) and its open blocks."""

    __slots__ = ("block", "blocks", "context", "locals", "stack")

    def __init__(
        self, context: Context, local_types: Sequence[ValType], results: tuple[ValType, ...]
    ) -> None:
        self.context = context
        self.locals = local_types
        self.stack: list[ValType | None] = []
        self.block = Block("func", FuncType((), results), 0)
        self.blocks = [self.block]

    def push(self, valtype: ValType | None) -> None:
        self.stack.append(valtype)

    def push_all(self, valtypes: Sequence[ValType]) -> None:
        self.stack.extend(valtypes)
        if len(self.stack) > MAX_OPERANDS:
            raise UnsupportedError(f"more than {MAX_OPERANDS} operands on the stack")

    def pop(self, expected: ValType) -> ValType | None:
        """Pop an operand, which must be ``expected``; give what it is."""
        actual = self.pop_any(expected)
        if actual is expected or actual is None or matches(actual, expected):
            return actual
        raise InvalidError(f"type mismatch: expected {expected}, found {actual}")

    def pop_any(self, expected: ValType | str = "an operand") -> ValType | None:
        """Pop an operand of whatever type; ``expected`` is for the message alone."""
        if len(self.stack) > self.block.height:
            return self.stack.pop()
        if self.block.unreachable:
            return None
        raise InvalidError(f"type mismatch: expected {expected}, but the stack is empty")

    def pop_all(self, expected: Sequence[ValType]) -> list[ValType | None]:
        """Pop operands, of which the last of ``expected`` is the top; give what they are, the top
        first."""
        return [self.pop(valtype) for valtype in reversed(expected)]

    def enter(self, op: str, blocktype: FuncType) -> None:
        """Open a block, whose parameters are popped already."""
        self.block = Block(op, blocktype, len(self.stack))
        self.blocks.append(self.block)
        self.push_all(blocktype.params)

    def leave(self) -> Block:
        """Close the innermost block, whose results must be all that is left of it."""
        block = self.block
        self.pop_all(block.type.results)
        if len(self.stack) != block.height:
            count = len(self.stack) - block.height
            raise InvalidError(f"type mismatch: {count} more operands than the block's results")
        self.blocks.pop()
        if self.blocks:
            self.block = self.blocks[-1]
        return block

    def label(self, depth: int) -> tuple[ValType, ...]:
        """The operands that ``br depth`` takes."""
        if depth >= len(self.blocks):
            raise InvalidError(f"unknown label {depth}")
        return self.blocks[-1 - depth].label

    def stop(self) -> None:
        """The rest of the block cannot be reached: its operands can be anything."""
        del self.stack[self.block.height :]
        self.block.unreachable = True


#: A rule checks one instruction, given its immediates.
Rule = Callable[[Body, tuple[Any, ...]], None]
#: A check of what an instruction with a signature names; it gives the type of an address there.
Check = Callable[[Context, Op, tuple[Any, ...]], NumType]
_Types = tuple[ValType, ...]


class Plan:
    """How to check one instruction: by its ``rule``, or by its signature, after a ``check`` of what
    its immediates name. ``params`` has the top of the stack first; both depend on the address
    type."""

    __slots__ = ("check", "op", "params", "results", "rule", "signatures")

    def __init__(self, op: Op, rule: Rule | None, check: Check | None) -> None:
        self.op = op
        self.rule = rule
        self.check = check
        self.signatures: dict[NumType, tuple[_Types, _Types]] = {}
        self.params: _Types = ()
        self.results: _Types = ()
        if rule is None:
            for address in (I64, I32):
                self.params = tuple(_resolve(t, address) for t in reversed(op.params))
                self.results = tuple(_resolve(t, address) for t in op.results)
                self.signatures[address] = self.params, self.results


def _resolve(valtype: ValType | str, address: NumType) -> ValType:
    if isinstance(valtype, str):
        assert valtype == ADDR
        return address
    return valtype


def build_plans(rules: dict[str, Rule], checks: dict[tuple[str, ...], Check]) -> dict[int, Plan]:
    """A plan for each instruction, by the identity of its row. ``checks`` go by immediates."""
    return {
        id(op): Plan(op, None, checks.get(op.immediates))
        if op.signature is not None
        else Plan(op, rules[op.name], None)
        for op in TABLE
    }


def check_expr(body: Body, expr: Expr, plans: dict[int, Plan]) -> None:
    """Raises InvalidError, with the ``offset`` of the instruction at fault."""
    stack = body.stack
    offset = 0
    try:
        for op, imm, offset in expr:  # noqa: B007 (the handler reads it)
            plan = plans[id(op)]
            rule = plan.rule
            if rule is not None:
                rule(body, imm)
                continue
            check = plan.check
            if check is None:
                params = plan.params
                results = plan.results
            else:
                params, results = plan.signatures[check(body.context, op, imm)]
            if params:
                height = body.block.height
                for expected in params:
                    if len(stack) > height:
                        actual = stack.pop()
                        if (
                            actual is not expected
                            and actual is not None
                            and not matches(actual, expected)
                        ):
                            raise InvalidError(
                                f"type mismatch: expected {expected}, found {actual}"
                            )
                    else:
                        body.pop_any(expected)
            if results:
                stack.extend(results)
    except InvalidError as error:
        error.offset = offset
        raise
