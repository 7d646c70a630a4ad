"""Modules that binaryen's asyncify has made stoppable: what our own rewriting is measured against.

Asyncify makes a module stop in calls of imports. So at each of our safepoints stands a test of a
cell, and behind it the call of an import; ``wasm-opt`` is told that no other call stops, and
optimises what it has made, as its documentation asks. The cell is a global, which is the
cheapest to test. No other thread could write it: a real one would be in memory, and cost more.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

from chiwawa.binary import encode
from chiwawa.lower.lowered import Spaces, lower
from chiwawa.module import Elem, Export, Expr, Func, Global, Import, Instr, Module, TypeUse
from chiwawa.opcodes import TABLE
from chiwawa_runtime.state.types import I32, FuncType, GlobalType

IMPORT = ("chiwawa", "stop")
CELL = "stop"
OPTIONS = (
    *("--all-features", "--asyncify", "-O3"),
    *("--pass-arg", f"asyncify-imports@{'.'.join(IMPORT)}"),
)
_OPS = {op.name: op for op in TABLE}


def program() -> str | None:
    return shutil.which("wasm-opt")


def version() -> str | None:
    """What ``wasm-opt`` says that it is: ``wasm-opt version 108``."""
    if (found := program()) is None:
        return None
    said = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
    return said.partition(" (")[0].strip()


def asyncified(module: Module) -> bytes:
    """``module``, so that it can be stopped at each of its safepoints. Raises FileNotFoundError
    where there is no ``wasm-opt``."""
    if (found := program()) is None:
        raise FileNotFoundError("wasm-opt is not installed (it is binaryen's)")
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder, "polls.wasm"), Path(folder, "made.wasm")
        given.write_bytes(encode(with_polls(module)))
        subprocess.run([found, *OPTIONS, str(given), "-o", str(made)], check=True)
        return made.read_bytes()


def with_polls(module: Module) -> Module:
    """``module`` with a test, and a call of an import, at each safepoint."""
    spaces = Spaces.of(module)
    imported = spaces.imported_funcs
    cell = len(module.global_types())
    plain = FuncType((), ())
    types = list(module.types)
    if plain not in types:
        types.append(plain)
    poll: Expr = [
        instr("global.get", cell),
        instr("if", None),
        instr("call", imported),
        instr("end"),
    ]

    def moved(expr: Expr) -> Expr:
        return [later(each, imported) for each in expr]

    def polled(index: int) -> Func:
        func = module.funcs[index - imported]
        lowered = lower(spaces, index)
        body: Expr = []
        for position, each in enumerate(lowered.body):
            safepoint = position in lowered.safepoints
            if safepoint and not each.op.loops:
                body += poll
            body.append(later(each, imported))
            if safepoint and each.op.loops:
                body += poll
        return Func(func.typeidx, func.locals, body)

    return Module(
        types=types,
        import_section=[*module.import_section, Import(*IMPORT, TypeUse(types.index(plain)))],
        funcs=[polled(i) for i in range(imported, len(spaces.funcs))],
        tables=module.tables,
        mems=module.mems,
        globals=[
            *(Global(each.type, moved(each.init)) for each in module.globals),
            Global(GlobalType(I32, True), [instr("i32.const", 0), instr("end")]),
        ],
        export_section=[
            *(
                replace(e, index=e.index + (e.kind == "func" and e.index >= imported))
                for e in module.export_section
            ),
            Export(CELL, "global", cell),
        ],
        start=None if module.start is None else module.start + (module.start >= imported),
        elems=[
            Elem(e.type, [moved(x) for x in e.init], e.mode, e.tableidx, e.offset)
            for e in module.elems
        ],
        datas=module.datas,
        data_count=module.data_count,
    )


def later(given: Instr, imported: int) -> Instr:
    """``given``, where one more function is imported."""
    if "funcidx" not in given.op.immediates or given.imm[0] < imported:
        return given
    return given._replace(imm=(given.imm[0] + 1, *given.imm[1:]))


def instr(name: str, *imm: object) -> Instr:
    return Instr(_OPS[name], imm, 0)
