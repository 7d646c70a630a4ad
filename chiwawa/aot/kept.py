"""What a module's functions have been translated to, kept for the next start.

All of a module is one entry of the user's cache, of those functions that some process has called:
what a generated file says of each (``code_rows``), and the code that Python made of it. A process
adds what it has translated when it ends, or the module goes, so nothing is written while a program
runs.
"""

from __future__ import annotations

import importlib.util
import marshal
import sys
import weakref
from collections.abc import Mapping
from types import CodeType
from typing import NamedTuple

from chiwawa.cache import Cache, key_of
from chiwawa.kept_entries import add_entries, read_entries
from chiwawa_runtime.engine.code_rows import TypeCodes, WrittenCode, write_row
from chiwawa_runtime.engine.deferred import Deferred
from chiwawa_runtime.engine.translation import Code
from chiwawa_runtime.state.deftypes import close, opened, type_indexes
from chiwawa_runtime.state.program import Program
from chiwawa_runtime.state.type_text import valtype


class Entry(NamedTuple):
    """A function: the row of it, the text of the types in that, by code, and its code."""

    row: str
    valtypes: dict[str, str]
    code: bytes


class Kept:
    """The functions of ``program``, translated as ``how`` says, as far as they are in ``cache``."""

    def __init__(self, cache: Cache, program: Program, *how: str) -> None:
        self.program = program
        key = _key(program, how)
        self.entries = {i: Entry(*parts) for i, parts in read_entries(cache, key).items()}
        #: What this process has translated.
        self.made: dict[int, tuple[str, dict[str, str], CodeType]] = {}
        self._types = type_indexes(program.types)
        self._functypes = {t.functype: i for t, i in self._types.items() if t.kind == "func"}
        weakref.finalize(self, _keep, cache, key, self.made)

    def code(self, index: int) -> CodeType | None:
        """The code that defines a function, if it is there."""
        entry = self.entries.get(index)
        if entry is None:
            return None
        code: CodeType = marshal.loads(entry.code)
        return code

    def about(self, index: int, function: Deferred) -> WrittenCode | None:
        """What is known of a function, if it is there."""
        entry = self.entries.get(index)
        if entry is None:
            return None
        program = self.program
        types = {c: close(valtype(text), program.types) for c, text in entry.valtypes.items()}
        return WrittenCode(function, entry.row, types, program.types, program.functions)

    def add(self, index: int, known: Code, code: CodeType) -> None:
        """Have a function there the next time."""
        codes = TypeCodes()
        row = write_row(
            known.generator,
            known.function.first_line,
            known.slots,
            tuple(known.lines.items()),
            known.points,
            codes,
            self._functypes,
        )
        valtypes = {c: str(opened(t, self._types)) for t, c in codes.codes.items()}
        self.made[index] = row, valtypes, code


def _key(program: Program, how: tuple[str, ...]) -> str:
    python = (sys.implementation.cache_tag or "", str(sys.flags.optimize))
    return key_of("translated", program.hash, *how, importlib.util.MAGIC_NUMBER, *python)


def _keep(cache: Cache, key: str, made: Mapping[int, tuple[str, dict[str, str], CodeType]]) -> None:
    new = {i: (row, types, marshal.dumps(code)) for i, (row, types, code) in made.items()}
    add_entries(cache, key, new)
