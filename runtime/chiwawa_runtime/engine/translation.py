"""A translated program, as the engine takes it: its functions, and what is known of each."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from chiwawa_runtime.engine.deferred import Deferred
from chiwawa_runtime.state.program import Program, SuspensionPoints

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


@dataclass(frozen=True)
class Bundle:
    """Everything that a generated file offers. ``codes`` are of its own functions, in order;
    ``imported_names`` what its code calls the imported ones; ``packed`` the module's binary, as
    ``pack`` makes a text of it or as it is; ``canonical_nans`` whether every NaN that arithmetic
    makes is the canonical one."""

    program: Program
    codes: Sequence[Code]
    granularity: str
    imported_names: Sequence[str]
    packed: str | bytes
    canonical_nans: bool = False

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
