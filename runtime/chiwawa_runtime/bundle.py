"""What a generated file imports: its tables as literals in, a ``Bundle`` out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from chiwawa_runtime.command.main import main
from chiwawa_runtime.engine.generated import GeneratedEngine
from chiwawa_runtime.engine.translation import Bundle, WrittenCode, unpack
from chiwawa_runtime.run.starting import Setup, instantiate
from chiwawa_runtime.state.program import (
    Constant,
    DataSpec,
    ElemSpec,
    ImportSpec,
    Program,
    functype,
    globaltype,
    memorytype,
    tabletype,
)
from chiwawa_runtime.state.types import ExternType, FuncType, GlobalType, MemoryType, TableType


class File(Bundle):
    """The ``Bundle`` of a generated file that has been imported."""

    def instantiate(self, imports: Mapping[str, Mapping[str, Any]] | None = None) -> Any:
        """An ``Instance`` whose start function has run. Raises UnlinkableError and Trap."""
        return instantiate(self.program, GeneratedEngine(self), Setup(imports=imports or {}))


def extern(description: tuple[Any, ...]) -> ExternType:
    makers: dict[str, Callable[..., ExternType]] = {
        "func": functype,
        "table": tabletype,
        "memory": memorytype,
        "global": globaltype,
    }
    kind, *rest = description
    return makers[kind](*rest)


def bundle(
    *,
    name: str,
    hash: str,
    granularity: str,
    canonical_nans: bool = False,
    types: Sequence[str],
    imports: Sequence[tuple[str, str, tuple[Any, ...]]],
    functions: Sequence[int],
    function_names: Mapping[int, str],
    tables: Sequence[tuple[Any, ...]],
    memories: Sequence[tuple[Any, ...]],
    globals: Sequence[tuple[tuple[Any, ...], Constant]],
    exports: Sequence[tuple[str, str, int]],
    start: int | None,
    elems: Sequence[tuple[str, Sequence[Any], int, Constant | None]],
    datas: Sequence[tuple[int, int, int, Constant | None]],
    recursive: Sequence[int],
    imported_names: Sequence[str],
    codes: Sequence[tuple[Any, ...]],
    module: str,
) -> File:
    """What the end of a generated file says."""
    functypes = [functype(t) for t in types]
    specs = [ImportSpec(m, n, extern(d)) for m, n, d in imports]

    def space(kind: type, defined: list[Any]) -> list[Any]:
        return [*(s.type for s in specs if isinstance(s.type, kind)), *defined]

    func_space = space(FuncType, [functypes[i] for i in functions])
    binary = unpack(module) if datas else b""
    program = Program(
        name=name,
        hash=bytes.fromhex(hash),
        functions=func_space,
        imports=specs,
        function_names=function_names,
        tables=space(TableType, [extern(t) for t in tables]),
        memories=space(MemoryType, [extern(m) for m in memories]),
        globals=space(GlobalType, [extern(t) for t, _ in globals]),
        globals_init=[init for _, init in globals],
        exports=exports,
        start=start,
        elems=[ElemSpec(mode, init, table, offset) for mode, init, table, offset in elems],
        datas=[
            DataSpec(binary[at : at + size], memory, offset) for at, size, memory, offset in datas
        ],
        recursive=frozenset(recursive),
    )
    own = [WrittenCode(row, functypes, func_space) for row in codes]
    return File(program, own, functypes, granularity, imported_names, module, canonical_nans)


def run_file(file: Bundle) -> None:
    """``python FILE …``: the program, as ``chiwawa run FILE …`` runs it."""
    sys.exit(main(file, sys.argv[1:]))
