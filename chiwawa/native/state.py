"""Memories, tables and globals that wasmtime holds, as everybody sees them.

An instance of wasmtime's makes them when its machine is first needed (see ``machine``): what stands
here before that is what it is to begin with.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from chiwawa.native import capi
from chiwawa.native.internals import same as same_reference
from chiwawa.native.vault import Vault, bits_of
from chiwawa_runtime.errors import ResourceError
from chiwawa_runtime.state.allowance import Allowances
from chiwawa_runtime.state.data_segments import DataSegment
from chiwawa_runtime.state.exceptions import ExceptionInstance, Tag
from chiwawa_runtime.state.holders import Holders
from chiwawa_runtime.state.interface import AnyGlobal, AnyMemory, AnyTable, refused
from chiwawa_runtime.state.memory import most_pages, out_of_bounds, too_large
from chiwawa_runtime.state.memory_data import MemoryData, octets
from chiwawa_runtime.state.memory_image import MemoryImage
from chiwawa_runtime.state.plain import plain
from chiwawa_runtime.state.store import Function, coerce, put
from chiwawa_runtime.state.subtyping import top
from chiwawa_runtime.state.table import HOST_LIMIT, ElemSegment
from chiwawa_runtime.state.table import out_of_bounds as table_out_of_bounds
from chiwawa_runtime.state.types import (
    ANYREF,
    EXNREF,
    FUNCREF,
    I64,
    V128,
    DefType,
    FuncType,
    GlobalType,
    MemoryType,
    NumType,
    RefType,
    TableType,
    ValType,
)


class Bound:
    """What a handle is of: ``vault``, and ``item``, the structure by which wasmtime knows it."""

    __slots__ = ("item", "vault")

    def __init__(self, vault: Vault, item: ctypes.Structure) -> None:
        self.vault = vault
        self.item = item

    @property
    def at(self) -> Any:
        return ctypes.byref(self.item)


#: Gives what a handle is of: once the machine is there, this is quick.
Find = Callable[[], Bound]


class NativeMemory(AnyMemory):
    __slots__ = ("allowances", "find", "type")

    def __init__(self, type: MemoryType, find: Find) -> None:
        self.type = type
        self.allowances = Allowances()
        self.find = find

    def extent(self) -> tuple[int, int]:
        """Where its bytes are, and how many."""
        bound = self.find()
        context, at = bound.vault.context, bound.at
        return capi.memory_data(context, at) or 0, capi.memory_data_size(context, at)

    @property
    def raw(self) -> memoryview:
        return self.view()

    @property
    def data(self) -> MemoryData:
        return MemoryData(self)

    def size(self) -> int:
        return self.byte_length() // self.type.page

    def byte_length(self) -> int:
        bound = self.find()
        size: int = capi.memory_data_size(bound.vault.context, bound.at)
        return size

    def place(self, address: int, n: int) -> int:
        """Where ``n`` bytes from ``address`` on are. Traps out of bounds."""
        base, size = self.extent()
        if address < 0:
            address = self.unsigned(address)
        if address < 0 or n < 0 or address + n > size:
            raise out_of_bounds()
        return base + address

    def read(self, address: int, n: int) -> bytes:
        return ctypes.string_at(self.place(address, n), n)

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        given = data if type(data) is bytes else octets(data)
        ctypes.memmove(self.place(address, len(given)), given, len(given))

    def scatter(self, pieces: Iterable[tuple[int, bytes]]) -> None:
        # A large program has tens of thousands of segments.
        raw = self.view()
        size = len(raw)
        for address, data in pieces:
            end = address + len(data)
            if address < 0 or end > size:
                raise out_of_bounds()
            raw[address:end] = data

    def view(self) -> memoryview:
        base, size = self.extent()
        # The array knows no owner of its bytes.
        array = (ctypes.c_ubyte * size).from_address(base)
        array.owner = self.find().vault.store  # type: ignore[attr-defined]
        return memoryview(array).cast("B")

    def follow(self, holder: object) -> None:
        """Where another engine runs over it: ``raw`` is looked at anew each time."""

    def init(self, segment: DataSegment, dst: int, src: int, n: int) -> None:
        """Spec 4.4.7, memory.init."""
        given = segment.data
        if src + n > len(given):
            raise out_of_bounds()
        self.write(dst, given[src : src + n])

    def try_grow(self, pages: int) -> int:
        if pages < 0:
            raise ValueError("a memory cannot shrink")
        bound = self.find()
        old = ctypes.c_uint64()
        if self.size() + pages > most_pages(self.type):
            return refused(self.type.limits)
        if not self.allowances.allow(pages * self.type.page):
            return refused(self.type.limits)
        error = capi.memory_grow(bound.vault.context, bound.at, pages, ctypes.byref(old))
        if error:
            capi.discard(error)
            return refused(self.type.limits)
        return old.value

    def fill(self, dst: int, value: int, n: int) -> None:
        ctypes.memset(self.place(dst, n), value & 0xFF, n)

    def copy(self, source: AnyMemory, dst: int, src: int, n: int) -> None:
        to = self.place(dst, n)
        if isinstance(source, NativeMemory):
            ctypes.memmove(to, source.place(src, n), n)
        else:
            ctypes.memmove(to, source.read(src, n), n)

    def image(self) -> MemoryImage:
        base, size = self.extent()
        # Slices of an array of characters are bytes.
        array = (ctypes.c_char * size).from_address(base)
        array.owner = self.find().vault.store  # type: ignore[attr-defined]
        return MemoryImage.of(self.type, array)  # type: ignore[arg-type]

    def reset(self, size: int, *, fresh: bool) -> None:
        base, now = self.extent()
        if size < now:
            # wasmtime's memories do not shrink: only one that the host has given could have to.
            raise ResourceError("a memory of the native path cannot become smaller")
        if not fresh:
            ctypes.memset(base, 0, now)
        if size > now and self.try_grow((size - now) // self.type.page) == refused(
            self.type.limits
        ):
            raise too_large(self.type, size)


class NativeTable(AnyTable):
    __slots__ = ("allowances", "find", "holders", "type")

    def __init__(self, type: TableType, find: Find) -> None:
        self.type = type
        self.allowances = Allowances()
        self.holders = Holders()
        self.find = find

    def begin(self, ref: object) -> None:
        """The rewritten module says itself what it is full of."""

    def size(self) -> int:
        bound = self.find()
        size: int = capi.table_size(bound.vault.context, bound.at)
        return size

    def reference(self, ref: object) -> Any:
        return put(ref, self.type.element, self)

    def get(self, index: int) -> Any:
        index = coerce(index, self.type.limits.address)
        bound = self.find()
        val = capi.Val()
        if not capi.table_get(bound.vault.context, bound.at, index, ctypes.byref(val)):
            raise table_out_of_bounds()
        return bound.vault.value(self.type.element, val)

    def set(self, index: int, ref: object) -> None:
        index, ref = coerce(index, self.type.limits.address), self.reference(ref)
        if index >= self.size():
            raise table_out_of_bounds()
        self.put(index, (ref,))

    def put(self, index: int, refs: Sequence[object]) -> None:
        bound = self.find()
        vault, at = bound.vault, bound.at
        context, put = vault.context, capi.table_set
        known = capi.Val()
        known_at = ctypes.byref(known)
        owner: object = None
        find = vault.finder(owner, known)
        for place, ref in enumerate(refs, index):
            # A large program has thousands, nearly all of them its own functions.
            if isinstance(ref, Function) and ref.instance is not owner:
                owner = ref.instance
                find = vault.finder(owner, known)
            if isinstance(ref, Function) and find(ref.index):
                error = put(context, at, place, known_at)
            else:
                val = vault.val(self.type.element, ref)
                error = capi.table_set(context, at, place, ctypes.byref(val))
                vault.release(val)
            if error:
                capi.discard(error)
                raise table_out_of_bounds()

    def try_grow(self, n: int, ref: object) -> int:
        bound = self.find()
        vault = bound.vault
        limit = self.type.limits.max
        if self.size() + n > (HOST_LIMIT if limit is None else min(limit, HOST_LIMIT)):
            return refused(self.type.limits)
        if not self.allowances.allow(n):
            return refused(self.type.limits)
        old = ctypes.c_uint64()
        val = vault.val(self.type.element, ref)
        error = capi.table_grow(vault.context, bound.at, n, ctypes.byref(val), ctypes.byref(old))
        vault.release(val)
        if error:
            capi.discard(error)
            return refused(self.type.limits)
        return old.value

    def grow(self, n: int, ref: object = None) -> int:
        n = coerce(n, self.type.limits.address)
        return self.grown(self.try_grow(n, self.reference(ref)), n)

    def fill(self, index: int, ref: object, n: int) -> None:
        index, ref, n = (
            coerce(index, self.type.limits.address),
            self.reference(ref),
            coerce(n, self.type.limits.address),
        )
        self.place(index, [ref] * n if index + n <= self.size() else [ref] * (self.size() + 1))

    def copy(self, source: AnyTable, dst: int, src: int, n: int) -> None:
        if source.type.element != self.type.element:
            raise TypeError(f"a table of {self.type.element} takes no {source.type.element}")
        dst = coerce(dst, self.type.limits.address)
        src = coerce(src, source.type.limits.address)
        n = coerce(n, I64)
        if src + n > source.size():
            raise table_out_of_bounds()
        self.place(dst, [source.get(i) for i in range(src, src + n)])

    # What another engine runs over it by.

    @property
    def raw(self) -> NativeTable:
        """What has a length, and elements by index."""
        return self

    def __len__(self) -> int:
        return self.size()

    def __getitem__(self, index: int) -> Any:
        return self.get(index)

    def raw_get(self, index: int) -> Any:
        return self.get(index)

    def raw_set(self, index: int, ref: object) -> None:
        self.set(index, ref)

    def raw_fill(self, index: int, ref: object, n: int) -> None:
        self.fill(index, ref, n)

    def raw_copy(self, source: AnyTable, dst: int, src: int, n: int) -> None:
        self.copy(source, dst, src, n)

    def raw_init(self, segment: ElemSegment, dst: int, src: int, n: int) -> None:
        elements = segment.elements
        if dst + n > self.size() or src + n > len(elements):
            raise table_out_of_bounds()
        self.place(dst, elements[src : src + n])

    @property
    def elements(self) -> tuple[Any, ...]:
        return tuple(self.get(i) for i in range(self.size()))

    def place(self, index: int, refs: Sequence[object]) -> None:
        if index + len(refs) > self.size():
            raise table_out_of_bounds()
        self.put(index, refs)

    def reset(self, elements: Sequence[object]) -> None:
        missing = len(elements) - self.size()
        if missing < 0:
            raise ResourceError("a table of the native path cannot become smaller")
        if missing and self.try_grow(missing, self.some(elements)) == refused(self.type.limits):
            raise ResourceError(f"not enough room for a table of {len(elements)} elements")
        if self.type.element.nullable or None not in elements:
            # Else somebody says later what they are, who needs its size now.
            self.put(0, elements)

    def some(self, elements: Sequence[object]) -> object:
        """An element to grow by; where nobody has said one yet, whichever is of the type."""
        if self.type.element.nullable:
            return None
        given = (each for each in elements if each is not None)
        return next(given, some(self.type.element))


def some(reftype: RefType) -> object:
    """A reference of the type that is not null."""
    kind = top(reftype)
    if kind == ANYREF:
        return 0
    if kind == FUNCREF:
        type_ = reftype.heap if isinstance(reftype.heap, DefType) else _NOTHING
        return Function(type_, instance=None, index=0, name=None)
    if kind == EXNREF:
        return ExceptionInstance(Tag(_NOTHING), ())
    return _NOTHING


#: Of a function that takes and gives nothing.
_NOTHING = FuncType((), ())


def same(valtype: ValType, left: Any, right: Any) -> bool:
    """Whether two values are the same: NaNs by their bits."""
    if isinstance(valtype, NumType):
        return bits_of(valtype, left) == bits_of(valtype, right)
    return left == right if valtype is V128 else same_reference(left, right)


class NativeGlobal(AnyGlobal):
    __slots__ = ("find", "holders", "initial", "is_made", "type")

    def __init__(
        self, type: GlobalType, find: Find, initial: object, is_made: Callable[[], bool]
    ) -> None:
        self.type = type
        self.find = find
        self.holders = Holders()
        #: What it is as long as there is no machine.
        self.initial = initial
        self.is_made = is_made

    @property
    def value(self) -> Any:
        return plain(self.get(), self.type.type)

    @value.setter
    def value(self, value: object) -> None:
        if not self.type.mutable:
            raise TypeError("the global is immutable")
        self.reset(put(value, self.type.type, self))

    def get(self) -> Any:
        if not self.is_made():
            # The globals behind it are initialised by it before there can be a machine.
            return self.initial
        bound = self.find()
        val = capi.Val()
        capi.global_get(bound.vault.context, bound.at, ctypes.byref(val))
        return bound.vault.value(self.type.type, val)

    @property
    def raw(self) -> Any:
        """What another engine runs over it by."""
        return self.get()

    @raw.setter
    def raw(self, value: object) -> None:
        self.reset(value)

    def reset(self, value: object) -> None:
        bound = self.find()
        val = bound.vault.val(self.type.type, value)
        error = capi.global_set(bound.vault.context, bound.at, ctypes.byref(val))
        bound.vault.release(val)
        if error:
            capi.discard(error)
            if not same(self.type.type, self.get(), value):
                raise ResourceError("an immutable global of the native path keeps its value")
