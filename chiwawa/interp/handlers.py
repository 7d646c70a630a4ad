"""Instructions as Python functions, compiled from their meanings in the instruction table.

A handler takes a frame's operand stack and its locals, both lists, and returns nothing. For each
instruction there is one factory, made when it is first needed; it binds what the immediates name.
What has no meaning in the table and does not change control has its factory written out here.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from functools import cache
from typing import Any

from chiwawa.immediates import INDICES
from chiwawa.meanings.environment import Things, environment
from chiwawa.module import Instr
from chiwawa.opcodes import Op, canonical
from chiwawa_runtime.engine.instance import ModuleInstance
from chiwawa_runtime.engine.traps import HANDLERS
from chiwawa_runtime.state import heap
from chiwawa_runtime.state.heap import fields_of
from chiwawa_runtime.state.numerics import NAMESPACE, f32_from_bits, f64_from_bits
from chiwawa_runtime.state.types import DefType
from chiwawa_runtime.state.vectors import named

Handler = Callable[[list[Any], list[Any]], None]


@cache
def factory(op: Op, names: tuple[str, ...], pushes: bool) -> Callable[..., Handler]:
    """A function of what ``names`` stand for to the handler of ``op``, which leaves a result where
    it ``pushes``."""
    assert op.meaning is not None
    # The memory's bytes, looked up each time: where it grows they may be another object.
    meaning = re.sub(r"\bmemory\b", "memory.raw", op.meaning)
    used = [n.id for n in ast.walk(ast.parse(op.meaning)) if isinstance(n, ast.Name)]
    operands = op.operands
    body = []
    if pushes and operands:
        for operand in reversed(operands[1:]):
            body.append(f"{operand} = stack.pop()")
        if used.count("a") == 1 and not pops_in_meaning(meaning):
            meaning = re.sub(r"\ba\b", "stack[-1]", meaning)
        else:
            body.append("a = stack[-1]")
        body.append(f"stack[-1] = {meaning}")
    else:
        for operand in reversed(operands):
            body.append(f"{operand} = stack.pop()")
        body.append(f"stack.append({meaning})" if pushes else meaning)
    return compile_factory(names, body, named(used))


def pops_in_meaning(meaning: str) -> bool:
    """Whether the meaning may leave the stack's top alone where it is evaluated."""
    return " if " in meaning


def compile_factory(
    names: tuple[str, ...], body: list[str], known: dict[str, object] | None = None
) -> Callable[..., Handler]:
    lines = [
        f"def make({', '.join(names)}):",
        "    def handler(stack, locals):",
        *(f"        {line}" for line in body),
        "    return handler",
    ]
    namespace: dict[str, Any] = {**(known or {}), **NAMESPACE, **heap.NAMES}
    exec(compile("\n".join(lines), HANDLERS, "exec"), namespace)
    return namespace["make"]  # type: ignore[no-any-return]


def in_space(space: str) -> Callable[[ModuleInstance, int], tuple[Any]]:
    return lambda instance, index: (getattr(instance, space)[index],)


#: What the immediates of an instruction name, in an instance.
THINGS: Things[ModuleInstance, Any] = {
    "memarg": lambda instance, imm: (
        memory := instance.memories[imm.memidx],
        imm.offset,
        memory,
    ),
    "ordering": lambda instance, imm: (),
    "i32": lambda _, imm: (imm,),
    "i64": lambda _, imm: (imm,),
    "f32": lambda _, imm: (f32_from_bits(imm),),
    "f64": lambda _, imm: (f64_from_bits(imm),),
    "v128": lambda _, imm: (imm,),
    "laneidx": lambda _, imm: (imm,),
    "fieldidx": lambda _, imm: (imm + 1,),
    "heaptype": lambda instance, imm: (heap_of(instance, imm),),
    "lanes": lambda _, imm: (imm,),
    **{kind.name: in_space(kind.things) for kind in INDICES},
}


def heap_of(instance: ModuleInstance, heap: str | int) -> Any:
    """A heap type: the word, or the defined type."""
    return instance.types[heap] if isinstance(heap, int) else heap


def local_get(instr: Instr, instance: ModuleInstance) -> Handler:
    index: int = instr.imm[0]

    def handler(stack: list[Any], locals: list[Any]) -> None:
        stack.append(locals[index])

    return handler


def local_set(instr: Instr, instance: ModuleInstance) -> Handler:
    index: int = instr.imm[0]

    def handler(stack: list[Any], locals: list[Any]) -> None:
        locals[index] = stack.pop()

    return handler


def local_tee(instr: Instr, instance: ModuleInstance) -> Handler:
    index: int = instr.imm[0]

    def handler(stack: list[Any], locals: list[Any]) -> None:
        locals[index] = stack[-1]

    return handler


def drop(instr: Instr, instance: ModuleInstance) -> Handler:
    def handler(stack: list[Any], locals: list[Any]) -> None:
        stack.pop()

    return handler


def nop(instr: Instr, instance: ModuleInstance) -> Handler:
    def handler(stack: list[Any], locals: list[Any]) -> None:
        pass

    return handler


def wide(instr: Instr, instance: ModuleInstance) -> Handler:
    """Of several results, by the function that is called as the instruction is."""
    function: Any = NAMESPACE[instr.op.name.replace(".", "_")]
    count = len(instr.op.params)

    def handler(stack: list[Any], locals: list[Any]) -> None:
        stack[-count:] = function(*stack[-count:])

    return handler


def struct_new(instr: Instr, instance: ModuleInstance) -> Handler:
    deftype = instance.types[instr.imm[0]]
    return made(deftype, len(fields_of(deftype)))


def array_new_fixed(instr: Instr, instance: ModuleInstance) -> Handler:
    return made(instance.types[instr.imm[0]], instr.imm[1])


def made(deftype: DefType, count: int) -> Handler:
    """Makes a structure or an array of the topmost operands."""

    def handler(stack: list[Any], locals: list[Any]) -> None:
        first = len(stack) - count
        value = [deftype, *stack[first:]]
        del stack[first:]
        stack.append(value)

    return handler


#: What has no meaning in the instruction table and does not change control (see ``prepare`` for
#: what does), in the table's order.
RULES: dict[str, Callable[[Instr, ModuleInstance], Handler]] = {
    "nop": nop,
    "drop": drop,
    "local.get": local_get,
    "local.set": local_set,
    "local.tee": local_tee,
    "i64.add128": wide,
    "i64.sub128": wide,
    "i64.mul_wide_s": wide,
    "i64.mul_wide_u": wide,
    "struct.new": struct_new,
    "array.new_fixed": array_new_fixed,
}


def handler(instr: Instr, instance: ModuleInstance, pushes: bool) -> Handler:
    """The handler of ``instr``, which does not change control, in ``instance``; whether it
    ``pushes`` a result."""
    rule = RULES.get(instr.op.name)
    if rule is not None:
        return rule(instr, instance)
    env = environment(instr, THINGS, instance)
    op = canonical(instr.op) if instance.engine.canonical_nans else instr.op
    return factory(op, tuple(env), pushes)(**env)
