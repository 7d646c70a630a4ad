"""One Wasm function to one Python function: a generator where it can be suspended, else a plain
one.

A generator takes the Wasm parameters, the depth of the call stack beneath it, and ``resume``: None,
or the place to go on at with the values of all its variables. It returns the results.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

from chiwawa.aot.builder import STAYS
from chiwawa.aot.emit import Writer
from chiwawa.aot.options import Options
from chiwawa.aot.statements import located
from chiwawa.aot.structure import structure
from chiwawa.aot.tree import build
from chiwawa.lower.lowered import Lowered, lower
from chiwawa.lower.sites import Sites, SitesOf
from chiwawa.meanings import fold
from chiwawa.meanings.fold import const, name
from chiwawa.meanings.rows import zero_of
from chiwawa_runtime.engine.segments import SEGMENT


@dataclass(frozen=True, slots=True)
class Translated:
    """``lines`` pairs lines of ``source`` (from 0) with code offsets, for what may trap, call or
    suspend. ``slots`` is how many stack variables a resumed frame has."""

    index: int
    source: str
    lines: tuple[tuple[int, int], ...]
    generator: bool
    slots: int
    lowered: Lowered


def translate_function(
    index: int, options: Options, writer: Writer, sites_of: SitesOf | None = None
) -> Translated:
    """Translate the function ``index``, which is defined in the module, with what instruments want
    of it in it."""
    lowered = lower(options.spaces, index, everywhere=options.everywhere)
    sites = (None if sites_of is None else sites_of(lowered)) or Sites()
    return translated(lowered, options, writer, sites)


def translated(lowered: Lowered, options: Options, writer: Writer, sites: Sites) -> Translated:
    index = lowered.index
    generator = index in options.suspendable
    steps = build(lowered, options, sites)
    body, uses_pc = structure(lowered, steps)
    slots = resumed_slots(lowered)
    head: list[ast.stmt] = []
    params = [f"l{i}" for i in range(len(lowered.type.params))]
    zeros: dict[str, list[ast.expr]] = {"0": [ast.Name("pc", fold.STORE)]} if uses_pc else {}
    for position in range(len(params), len(lowered.locals)):
        start = zero_of(lowered.locals[position])
        zeros.setdefault(start, []).append(ast.Name(f"l{position}", fold.STORE))
    head += [ast.Assign(targets, name(start)) for start, targets in zeros.items()]
    defaults: list[ast.expr] = []
    if generator:
        if index in options.recursive:
            head.append(guard_depth(options.names[index], params, lowered.body[0].offset))
        if options.polls:
            head.append(resume_statement(len(lowered.locals), slots, sites.entry))
        elif sites.entry is not None:
            head.append(fold.verbatim(sites.entry))
        params += ["depth", "resume"]
        defaults = [const(0), const(None)]
        if not (options.polls and lowered.safepoints):
            # Its loops and calls cannot be reached: the body does not make it a generator.
            head.append(ast.If(const(0), [ast.Expr(ast.Yield(None))], []))
    elif sites.entry is not None:
        head.append(fold.verbatim(sites.entry))
    if sites.unwound is not None:
        replaced = any(instr.op.tail and not instr.op.indirect for instr in lowered.body)
        if replaced:
            head.insert(0, fold.verbatim(f"{STAYS} = True"))
        body = [unwinding(body, sites.unwound, replaced)]
    args = ast.arguments([], [ast.arg(p) for p in params], None, [], [], None, defaults)
    function = ast.FunctionDef(options.names[index], args, [*head, *body], [])
    source, lines = writer.write_function(function)
    return Translated(index, source, tuple(lines), generator, slots, lowered)


def resumed_slots(lowered: Lowered) -> int:
    """The highest operand stack at a place to resume at."""
    heights = [lowered.heights[p] for p in lowered.safepoints]
    heights += [lowered.height_in_call(p) for p in lowered.calls]
    return max(heights, default=0)


def guard_depth(function: str, params: list[str], offset: int) -> ast.stmt:
    """Where the segment of the call stack is full, the function is called again in a new one (see
    ``chiwawa_runtime.engine.segments``)."""
    test = fold.bounded(ast.Compare(name("depth"), [ast.GtE()], [const(SEGMENT)]), 0, 1)
    again = fold.call("deeper", name(function), name("depth"), *map(name, params))
    return ast.If(test, [located(ast.Return(ast.YieldFrom(again)), offset)], [])


def unwinding(body: list[ast.stmt], source: str, replaced: bool) -> ast.stmt:
    """``body``, and ``source`` where an exception leaves it, where it has not been left
    already for what it calls in its place (``replaced``: it may have)."""
    leave = fold.verbatim(source)
    if replaced:
        leave = ast.If(name(STAYS), [leave], [])
    handler = ast.ExceptHandler(name("Thrown"), "thrown", [leave, ast.Raise(None, None)])
    return ast.Try(body, [handler], [], [])


def resume_statement(locals_: int, slots: int, entry: str | None) -> ast.stmt:
    names = ["pc", *(f"l{i}" for i in range(locals_)), *(f"s{i}" for i in range(slots)), "callee"]
    targets = ast.Tuple([ast.Name(n, fold.STORE) for n in names], fold.STORE)
    test = fold.bounded(ast.Name("resume", fold.LOAD), 0, 1)
    otherwise = [] if entry is None else [fold.verbatim(entry)]
    return ast.If(test, [ast.Assign([targets], name("resume"))], otherwise)
