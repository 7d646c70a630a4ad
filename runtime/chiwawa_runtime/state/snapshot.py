"""The state of a stopped program, as plain data that names no engine, host, path or time.

Both execution paths make it and take it; ``checkpoint`` writes it to bytes and reads it back. It
knows neither how frames run nor how bytes are laid out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from chiwawa_runtime.state.memory_image import MemoryImage
from chiwawa_runtime.state.types import GlobalType, RefType, StorageType, TableType, ValType


@dataclass(frozen=True, slots=True)
class FuncIdx:
    """A reference to a function, by its index (imports first) in an instance: that which defines
    it, or of the host's the first that has it."""

    index: int
    instance: int = 0


@dataclass(frozen=True, slots=True)
class Carried:
    """A reference to a host value that the embedder carries under ``name``."""

    name: str


@dataclass(frozen=True, slots=True)
class ObjIdx:
    """A reference to one of the snapshot's ``objects``."""

    index: int


@dataclass(frozen=True, slots=True)
class I31:
    """A reference to an unboxed integer, which is unsigned here."""

    value: int


#: A reference in a snapshot; None is null. What is ``any`` may be a host's value and what is
#: ``extern`` an object or an unboxed integer: the place says which it has been converted to.
Ref = FuncIdx | Carried | ObjIdx | I31 | None
#: i32 and i64: int, unsigned. f32 and f64: float. v128: its 16 bytes. A reference: Ref.
Value = int | float | bytes | Ref


class Frame(NamedTuple):
    """A function suspended at a boundary: the code offset of the next instruction, or of the call
    in progress (its arguments already popped). ``stack`` has the deepest operand first."""

    function: int
    offset: int
    locals: tuple[tuple[ValType, Value], ...]
    stack: tuple[tuple[ValType, Value], ...]
    instance: int = 0


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """A call, of a function of the run's instance, that begins when the oldest frame has returned
    (an export, after the start function).
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
class TypeIdx:
    """A defined type, by an index in an instance whose module has it: of all such pairs the one
    with the least instance and, in that, the least index."""

    index: int
    instance: int = 0


@dataclass(frozen=True, slots=True)
class StructImage:
    """``fields`` have the types that they are stored as; of a packed one, the low bits."""

    type: TypeIdx
    fields: tuple[tuple[StorageType, Value], ...]


@dataclass(frozen=True, slots=True)
class ArrayImage:
    """``elements`` are all of the type ``storage``; those of i8 are bytes."""

    type: TypeIdx
    storage: StorageType
    elements: tuple[Value, ...] | bytes


@dataclass(frozen=True, slots=True)
class ExceptionImage:
    """``tag`` is an address; ``fields`` are typed, like a frame's locals."""

    tag: int
    fields: tuple[tuple[ValType, Value], ...]


#: What references refer to by number.
ObjectImage = StructImage | ArrayImage | ExceptionImage


@dataclass(frozen=True, slots=True)
class SegmentImage:
    """What an element segment holds that is not dropped, and whose elements constant expressions
    have made (others than ``ref.null`` and ``ref.func``): ``index`` is its in its instance."""

    instance: int
    index: int
    type: RefType
    elements: tuple[Ref, ...]


@dataclass(frozen=True, slots=True)
class IndexSpaces:
    """Where the things are that an instance has, imported ones first: their *addresses* are places
    in the snapshot's tuples. Of tags there is no more than that: equal addresses are one tag.
    ``links`` are the imported functions that are another instance's, by index, ascending; all
    others are the host's."""

    memories: tuple[int, ...] = ()
    globals: tuple[int, ...] = ()
    tables: tuple[int, ...] = ()
    tags: tuple[int, ...] = ()
    links: tuple[tuple[int, FuncIdx], ...] = ()


@dataclass(frozen=True, slots=True)
class InstanceImage:
    """What an instance has for itself; its fields are what ``Snapshot`` says of the run's."""

    module_name: str
    module_hash: bytes
    granularity: str
    safepoints: int | None
    dropped_elems: tuple[bool, ...]
    dropped_datas: tuple[bool, ...]
    canonical_nans: bool
    spaces: IndexSpaces


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything. Index spaces are the module's, imports first; ``frames`` the youngest first.

    ``safepoints`` is how many safepoints the run has passed, where it counted them from its start.
    ``granularity`` is ``safepoint`` or ``instruction``: what that number counts. With
    ``canonical_nans`` every NaN that arithmetic makes is the canonical one.
    ``wasi`` is the payload of the section ``chiwawa.wasi``, ``host`` that of ``chiwawa.host``
    (a pickle: never loaded without consent), ``monitors`` that of ``chiwawa.monitors`` (what
    instruments have counted).

    The module, its segments and what is counted are those of the run's instance, which is number 0.
    ``others`` are those that are linked with it, from number 1 on. What instances share is here
    once; ``spaces`` says what the run's has of it, None where that is all, in order. ``objects``
    are what ``ObjIdx`` refers to. ``segments`` ascend by instance and index; where ``spaces`` is
    None, the module says what they hold.
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
    spaces: IndexSpaces | None = None
    others: tuple[InstanceImage, ...] = ()
    objects: tuple[ObjectImage, ...] = ()
    segments: tuple[SegmentImage, ...] = ()

    @property
    def idle(self) -> bool:
        """Whether it is of an instance between calls: nothing is left that it would go on with."""
        return not self.frames and not self.plan

    @property
    def instances(self) -> tuple[InstanceImage, ...]:
        """All, by number."""
        spaces = self.spaces
        if spaces is None:
            spaces = IndexSpaces(
                tuple(range(len(self.memories))),
                tuple(range(len(self.globals))),
                tuple(range(len(self.tables))),
            )
        own = InstanceImage(
            self.module_name,
            self.module_hash,
            self.granularity,
            self.safepoints,
            self.dropped_elems,
            self.dropped_datas,
            self.canonical_nans,
            spaces,
        )
        return own, *self.others

    def values(self) -> Iterator[tuple[ValType, Value]]:
        """All values but those in objects, in the order in which objects are numbered: of globals,
        tables, element segments, frames from the oldest (locals, then operands from the deepest)
        and planned calls."""
        for image in self.globals:
            yield image.type.type, image.value
        for table in self.tables:
            for element in table.elements:
                yield table.type.element, element
        for segment in self.segments:
            for element in segment.elements:
                yield segment.type, element
        for frame in reversed(self.frames):
            yield from frame.locals
            yield from frame.stack
        for call in self.plan:
            yield from call.args
