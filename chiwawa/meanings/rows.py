"""What the translator asks of a row of the instruction table, and of an instruction's
immediates."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from chiwawa.immediates import INDICES
from chiwawa.meanings import fold
from chiwawa.meanings.environment import Things
from chiwawa.meanings.fold import Node, const, name
from chiwawa.opcodes import Op
from chiwawa_runtime.state.numerics import f32_from_bits, f64_from_bits
from chiwawa_runtime.state.types import F32, F64, NumType, ValType, zero
from chiwawa_runtime.state.vectors import vector_name


def high(valtype: ValType | None) -> int | None:
    """The bound of an integer type; None for the others."""
    if isinstance(valtype, NumType) and valtype is not F32 and valtype is not F64:
        return (1 << valtype.bits) - 1
    return None


def float_const(bits: int, valtype: ValType) -> Node:
    """A float as Python can write it exactly: by bits where its repr would lose them."""
    value = f32_from_bits(bits) if valtype is F32 else f64_from_bits(bits)
    if value != value:
        function = "f32_from_bits" if valtype is F32 else "f64_from_bits"
        return fold.call(function, const(bits))
    if value in (float("inf"), float("-inf")):
        return name("inf") if value > 0 else fold.negate(name("inf"))
    if str(value).startswith("-"):
        return fold.negate(fold.bounded(ast.Constant(-value), None, None))
    return fold.bounded(ast.Constant(value), None, None)


def zero_of(valtype: ValType) -> str:
    """The source of the value that a local of the type starts with."""
    start = zero(valtype)
    return vector_name(start) if isinstance(start, bytes) else repr(start)


def heap_node(heap: str | int) -> Node:
    """A heap type: the word, or the defined type."""
    if isinstance(heap, int):
        return name(f"type{heap}")
    return fold.bounded(ast.Constant(heap), None, None)


def variable(prefix: str) -> Callable[[None, int], tuple[Node]]:
    return lambda _, index: (name(f"{prefix}{index}"),)


#: What the immediates of an instruction name, in generated code.
VARIABLES: Things[None, Node] = {
    "memarg": lambda _, imm: (
        name(f"m{imm.memidx}"),
        const(imm.offset),
        name(f"mem{imm.memidx}"),
    ),
    "ordering": lambda _, imm: (),
    "i32": lambda _, imm: (const(imm),),
    "i64": lambda _, imm: (const(imm),),
    "f32": lambda _, imm: (float_const(imm, F32),),
    "f64": lambda _, imm: (float_const(imm, F64),),
    "v128": lambda _, imm: (name(vector_name(imm)),),
    "laneidx": lambda _, imm: (const(imm),),
    "lanes": lambda _, imm: (name(vector_name(imm)),),
    "fieldidx": lambda _, imm: (const(imm + 1),),
    "heaptype": lambda _, imm: (heap_node(imm),),
    **{kind.name: variable(kind.variable) for kind in INDICES},
}
NO_IMMEDIATES: dict[str, Node] = {}


@dataclass(frozen=True, slots=True)
class Traits:
    """What the translator asks of a row of the instruction table, worked out once. ``counts`` is
    how often each operand is named; ``lazy`` says that one may go unevaluated; ``rounds`` that the
    meaning is ``f32_round`` of something, or the canonical form of that. ``high`` bounds the
    result; None: its type does."""

    template: fold.Template
    counts: tuple[int, ...]
    arity: int
    reads: bool
    writes: bool
    traps: bool
    lazy: bool
    rounds: bool
    high: int | None


@cache
def traits_of(op: Op) -> Traits:
    assert op.meaning is not None
    counts = fold.uses(op)
    result = op.results[0] if op.signature is not None and op.results else None
    top = high(result) if isinstance(result, NumType) else None
    return Traits(
        template=fold.template(op),
        counts=counts,
        arity=sum(1 for count in counts if count),
        reads=op.reads,
        writes=op.writes,
        traps=op.traps,
        lazy=fold.may_skip(op),
        rounds=op.meaning.startswith(("f32_round(", "float_canonical(f32_round(")),
        high=top if op.high is None else op.high,
    )
