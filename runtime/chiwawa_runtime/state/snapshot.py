"""The state of a stopped program, as plain data that names no engine, host, path or time.

Both execution paths make it and take it; ``checkpoint`` writes it to bytes and reads it back. It
knows neither how frames run nor how bytes are laid out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from chiwawa_runtime.state.memory_image import MemoryImage
from chiwawa_runtime.state.types import GlobalType, TableType, ValType


@dataclass(frozen=True, slots=True)
class FuncIdx:
    """A reference to a function of the module, by index (imports first)."""

    index: int


@dataclass(frozen=True, slots=True)
class Carried:
    """A reference to a host value that the embedder carries under ``name``."""

    name: str


#: A reference in a snapshot; None is null.
Ref = FuncIdx | Carried | None
#: i32 and i64: int, unsigned. f32 and f64: float. A reference: Ref.
Value = int | float | Ref


class Frame(NamedTuple):
    """A function suspended at a boundary: the code offset of the next instruction, or of the call
    in progress (its arguments already popped). ``stack`` has the deepest operand first."""

    function: int
    offset: int
    locals: tuple[tuple[ValType, Value], ...]
    stack: tuple[tuple[ValType, Value], ...]


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """A call that begins when the oldest frame has returned (an export, after the start function).
    ``args`` are typed, like a frame's locals."""

    function: int
    args: tuple[tuple[ValType, Value], ...]


@dataclass(frozen=True, slots=True)
class TableImage:
    """``type`` is as declared; the size is ``len(elements)``."""

    type: TableType
    elements: tuple[Ref, ...]


@dataclass(frozen=True, slots=True)
class GlobalImage:
    type: GlobalType
    value: Value


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything. Index spaces are the module's, imports first; ``frames`` the youngest first.

    ``safepoints`` is how many safepoints the run has passed, where it counted them from its start.
    ``granularity`` is ``safepoint`` or ``instruction``: what that number counts. With
    ``canonical_nans`` every NaN that arithmetic makes is the canonical one.
    ``wasi`` is the payload of the section ``chiwawa.wasi``, ``host`` that of ``chiwawa.host``
    (a pickle: never loaded without consent), ``monitors`` that of ``chiwawa.monitors`` (what
    instruments have counted).
    """

    module_name: str
    module_hash: bytes
    granularity: str
    safepoints: int | None
    frames: tuple[Frame, ...]
    plan: tuple[PlannedCall, ...]
    memories: tuple[MemoryImage, ...]
    globals: tuple[GlobalImage, ...]
    tables: tuple[TableImage, ...]
    dropped_elems: tuple[bool, ...]
    dropped_datas: tuple[bool, ...]
    wasi: bytes | None = None
    host: bytes | None = None
    monitors: bytes | None = None
    canonical_nans: bool = False
