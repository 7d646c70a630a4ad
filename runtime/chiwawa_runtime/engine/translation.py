"""A translated program, as the engine takes it: its functions, and what is known of each."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from chiwawa_runtime.engine.deferred import Deferred, run_source
from chiwawa_runtime.errors import BadInput
from chiwawa_runtime.state.program import ExportType, ImportType, Program, SuspensionPoints

#: Characters in a line of a packed module.
PACKED_LINE = 96


class Code(Protocol):
    """A generated function. ``generator`` says whether it can be suspended, ``slots`` how many
    stack variables a resumed frame has."""

    @property
    def function(self) -> Deferred: ...
    @property
    def generator(self) -> bool: ...
    @property
    def slots(self) -> int: ...
    @property
    def lines(self) -> Mapping[int, int]:
        """The code offset that a line stands for, the ``def`` being line 0."""

    @property
    def points(self) -> SuspensionPoints:
        """Where it can be suspended."""


@dataclass(frozen=True, repr=False)
class Bundle:
    """Everything that a generated file offers. ``load_generated`` gives one. ``codes`` are of its
    own functions, in order; ``imported_names`` what its code calls the imported ones; ``packed``
    the module's binary, as ``pack`` makes a text of it or as it is; ``canonical_nans`` whether
    every NaN that arithmetic makes is the canonical one.

    >>> module = chiwawa.load('(module (func (export "one") (result i32) (i32.const 1)))')
    >>> chiwawa.compile_file(module, "one.py")
    >>> chiwawa.load_generated("one.py").exports
    (<export "one": [] -> [i32]>,)
    """

    program: Program
    codes: Sequence[Code]
    granularity: str
    imported_names: Sequence[str]
    packed: str | bytes
    canonical_nans: bool = False

    def __repr__(self) -> str:
        return f"<generated file of a module: {len(self.program.exports)} exports>"

    @property
    def imports(self) -> tuple[ImportType, ...]:
        """What an instance of it needs, in order."""
        return self.program.import_types

    @property
    def exports(self) -> tuple[ExportType, ...]:
        """What an instance of it has for others, in order."""
        return self.program.export_types

    @cached_property
    def module(self) -> bytes:
        """The module's binary."""
        return unpack(self.packed) if isinstance(self.packed, str) else self.packed


def pack(binary: bytes) -> str:
    """``binary``, compressed, in lines of printable characters but quotes and backslashes."""
    packed = base64.b85encode(zlib.compress(binary, 9)).decode()
    return "".join(f"{packed[i : i + PACKED_LINE]}\n" for i in range(0, len(packed), PACKED_LINE))


def unpack(packed: str) -> bytes:
    return zlib.decompress(base64.b85decode(packed.replace("\n", "")))


def bundle_of(source: str, filename: str) -> Bundle:
    """The bundle that a generated file's source makes. This runs the source. Raises BadInput."""
    found = run_source(source, filename).get("BUNDLE")
    if not isinstance(found, Bundle):
        raise BadInput(f"{filename} is no file that chiwawa compiled")
    return found
