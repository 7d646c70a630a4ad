"""A module to a Python file, written function by function as it is translated.

The file has the functions, then everything else that an instance needs as literals, and the module
itself, compressed. The same module gives the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import re
import zlib
from collections.abc import Callable
from typing import TextIO

from chiwawa.aot.emit import Writer
from chiwawa.aot.function import Translated, translate_function
from chiwawa.aot.options import Options
from chiwawa.collector import uncollected
from chiwawa.lower.lowered import Spaces, recursive_functions
from chiwawa.lower.points import points_of
from chiwawa.meanings.constants import constant, reference
from chiwawa.module import Module, TypeUse
from chiwawa_runtime.engine.generated import BUILTINS
from chiwawa_runtime.state.program import LETTER_OF
from chiwawa_runtime.state.stacks import FEW, Stack
from chiwawa_runtime.state.types import (
    ExternType,
    FuncType,
    GlobalType,
    Limits,
    MemoryType,
    TableType,
)

#: Called with how many functions are done, and how many there are.
Progress = Callable[[int, int], None]

HEADER = '''\
"""WebAssembly module {name}, translated to Python by chiwawa: do not edit.

Import it (``instantiate``), run it (``python FILE``), or give it to ``chiwawa run``. A function
that can be suspended is a generator: ``l0`` and so on are its locals, ``s0`` and so on its
operands, and ``pc`` is where to go on, 0 when it simply runs. Lines stand for instructions, so a
change of lines makes the file useless.
"""

from chiwawa_runtime.bundle import bundle, run_file
from chiwawa_runtime.state.numerics import f32_from_bits, f64_from_bits, inf

'''


def suspendable_functions(spaces: Spaces, everywhere: bool) -> frozenset[int]:
    """The functions that have a safepoint: those with a loop or a call (see ``lower.lowered``)."""
    result = set()
    for index, func in enumerate(spaces.module.funcs, spaces.imported_funcs):
        summary = func.summary
        if everywhere:
            if summary.length > 1:
                result.add(index)
        elif summary.loops or summary.calls or summary.indirect:
            result.add(index)
    return frozenset(result)


def function_names(module: Module, count: int) -> dict[int, str]:
    """Python names for functions: ``f``, the index, and what each is called, if it can be part of
    one."""
    names = {}
    called = module.func_names()
    for index in range(count):
        known = re.sub(r"\W+", "_", called.get(index, ""), flags=re.ASCII)
        known = known.strip("_")[:60]
        name = f"f{index}_{known}" if known else f"f{index}"
        # Function 32 may well be called "load".
        names[index] = name + "_" if name in BUILTINS else name
    return names


def options_for(
    module: Module,
    *,
    everywhere: bool = False,
    canonical_nans: bool = False,
    polls: bool = True,
) -> Options:
    spaces = Spaces.of(module)
    return Options(
        spaces,
        suspendable_functions(spaces, everywhere),
        recursive_functions(spaces),
        function_names(module, len(spaces.funcs)),
        everywhere=everywhere,
        canonical_nans=canonical_nans,
        polls=polls,
    )


def translate(
    module: Module,
    out: TextIO,
    *,
    granularity: str = "safepoint",
    canonical_nans: bool = False,
    polls: bool = True,
    progress: Progress | None = None,
) -> None:
    """Write the translation of ``module``, which is valid, to ``out``.

    ``granularity`` is ``safepoint`` or ``instruction`` (every boundary is a safepoint: slow).
    With ``canonical_nans`` every NaN that arithmetic makes is the canonical one. ``polls`` False
    leaves the safepoints out, which only serves to measure what they cost.
    """
    options = options_for(
        module,
        everywhere=granularity == "instruction",
        canonical_nans=canonical_nans,
        polls=polls,
    )
    header = HEADER.format(name=described(module))
    out.write(header)
    line = header.count("\n") + 1
    total = len(module.funcs)
    rows = []
    writer = Writer()
    imported = options.spaces.imported_funcs
    with uncollected():
        for done in range(total):
            if progress is not None:
                progress(done, total)
            translated = translate_function(imported + done, options, writer)
            out.write("\n" + translated.source + "\n\n")
            rows.append(code_row(translated, line + 1, options))
            line += translated.source.count("\n") + 3
        if progress is not None:
            progress(total, total)
        write_tables(module, options, rows, granularity, out)


def described(module: Module) -> str:
    name = module.names.module
    return ascii(name).replace("\\", "/").replace('"', "'") if name else "(without a name)"


def letters(functype: FuncType) -> str:
    left = "".join(LETTER_OF[t] for t in functype.params)
    return left + ":" + "".join(LETTER_OF[t] for t in functype.results)


class Stacks:
    """Writes the operand types of places in a row, as ``chiwawa_runtime.bundle`` reads them: a high
    stack is not written again where the place before has it beneath."""

    def __init__(self) -> None:
        #: What makes up the stack of the place before, the deepest first, and how high each is.
        self.last: list[Stack] = []
        self.heights: dict[int, int] = {}

    def write(self, stack: Stack) -> str:
        above = []
        while stack is not None and id(stack) not in self.heights:
            above.append(stack)
            stack = stack[1]
        shared = self.heights[id(stack)] if stack is not None else 0
        for gone in self.last[shared:]:
            del self.heights[id(gone)]
        del self.last[shared:]
        for cell in reversed(above):
            self.last.append(cell)
            self.heights[id(cell)] = len(self.last)
        mark = f"{shared}*" if shared > FEW else ""
        start = shared if mark else 0
        return mark + "".join([LETTER_OF[cell[0]] for cell in self.last[start:]])  # type: ignore[index]


def code_row(translated: Translated, first_line: int, options: Options) -> str:
    """The arguments of ``bundle.code`` for a function, after the function itself."""
    points = points_of(translated.lowered, options.spaces)
    lines = " ".join(f"{line}:{offset}" for line, offset in translated.lines)
    written = Stacks()
    safepoints = " ".join(
        f"{offset}:{written.write(stack)}" for offset, stack in points.safepoints.items()
    )
    body = translated.lowered.body
    callees = {body[p].offset: body[p].imm[0] for p in translated.lowered.calls}
    written = Stacks()
    calls = " ".join(
        f"{offset}:{written.write(call.below)}:"
        f"{callees[offset]}{'t' if call.function is None else ''}"
        for offset, call in points.calls.items()
    )
    locals_ = "".join(LETTER_OF[t] for t in points.locals)
    name = options.names[translated.index]
    return (
        f"({name}, {translated.generator}, {first_line}, {translated.slots}, {locals_!r}, "
        f"{lines!r}, {safepoints!r}, {calls!r})"
    )


def limits_text(limits: Limits) -> str:
    return f"{limits.min}, {limits.max}"


def extern_text(desc: ExternType | TypeUse, types: list[FuncType]) -> str:
    """Source of a tuple that says an external type."""
    match desc:
        case TypeUse(typeidx=typeidx):
            return f"('func', {letters(types[typeidx])!r})"
        case FuncType():
            return f"('func', {letters(desc)!r})"
        case TableType(limits=limits, element=element):
            return f"('table', {LETTER_OF[element]!r}, {limits_text(limits)})"
        case MemoryType(limits=limits):
            return f"('memory', {limits_text(limits)})"
        case GlobalType(type=valtype, mutable=mutable):
            return f"('global', {LETTER_OF[valtype]!r}, {mutable})"


def write_tables(
    module: Module, options: Options, rows: list[str], granularity: str, out: TextIO
) -> None:
    spaces = options.spaces
    out.write("\nBUNDLE = bundle(\n")

    def field(name: str, items: list[str]) -> None:
        if not items:
            out.write(f"    {name}=(),\n")
            return
        out.write(f"    {name}=(\n")
        for item in items:
            out.write(f"        {item},\n")
        out.write("    ),\n")

    name = module.names.module or ""
    out.write(f"    name={name!a},\n")
    out.write(f"    hash={hashlib.sha256(module.binary).hexdigest()!r},\n")
    out.write(f"    granularity={granularity!r},\n")
    if options.canonical_nans:
        out.write("    canonical_nans=True,\n")
    field("types", [repr(letters(t)) for t in module.types])
    field(
        "imports",
        [
            f"({i.module!a}, {i.name!a}, {extern_text(i.desc, module.types)})"
            for i in module.imports
        ],
    )
    field("functions", [str(f.typeidx) for f in module.funcs])
    known = module.func_names()
    out.write("    function_names={\n")
    for index in sorted(known):
        out.write(f"        {index}: {known[index]!a},\n")
    out.write("    },\n")
    field("tables", [extern_text(t, module.types) for t in module.tables])
    field("memories", [extern_text(m, module.types) for m in module.mems])
    field(
        "globals",
        [f"({extern_text(g.type, module.types)}, {constant(g.init)})" for g in module.globals],
    )
    field("exports", [f"({e.name!a}, {e.kind!r}, {e.index})" for e in module.exports])
    out.write(f"    start={module.start},\n")
    elems = []
    for elem in module.elems:
        inits = "".join(f"{reference(expr)}, " for expr in elem.init)
        offset = constant(elem.offset) if elem.mode == "active" else None
        elems.append(f"({elem.mode!r}, ({inits}), {elem.tableidx}, {offset})")
    field("elems", elems)
    datas = []
    for data in module.datas:
        offset = constant(data.offset) if data.mode == "active" else None
        assert data.at is not None
        datas.append(f"({data.at}, {len(data.init)}, {data.memidx}, {offset})")
    field("datas", datas)
    out.write(f"    recursive={sorted(options.recursive)},\n")
    imported = [repr(options.names[i]) for i in range(spaces.imported_funcs)]
    field("imported_names", imported)
    field("codes", rows)
    packed = base64.b85encode(zlib.compress(module.binary, 9)).decode()
    out.write("    module=(\n")
    for start in range(0, len(packed), 88):
        out.write(f'        "{packed[start : start + 88]}"\n')
    out.write("    ),\n)\n\n")
    out.write("instantiate = BUNDLE.instantiate\n\n")
    out.write('if __name__ == "__main__":\n    run_file(BUNDLE)\n')
