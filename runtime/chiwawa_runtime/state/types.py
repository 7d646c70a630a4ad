"""The types of the spec: values, composite types, limits, tables, memories, globals (spec 2.3).

They are shared by the toolchain and the running program, so this module knows nothing of either.
A type that names another has its type index as long as it is a module's own, and the ``DefType``
itself once it is *closed* (``deftypes``): closed types mean the same everywhere, and equal ones are
equal. What ``str`` gives of a module's own says all of it, in the spec's words; ``type_text`` reads
that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class NumType:
    """A number type; ``code`` is its byte in the binary format, ``bits`` its width. There is one
    object for each, also where it is copied or pickled.

    >>> chiwawa.I32, chiwawa.F64.bits
    (i32, 64)
    """

    name: str
    code: int
    bits: int

    def __repr__(self) -> str:
        return self.name

    def __str__(self) -> str:
        return self.name

    def __reduce__(self) -> str:
        return self.name.upper()


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class VecType:
    """A vector type.

    >>> chiwawa.V128, chiwawa.V128.bits
    (v128, 128)
    """

    name: str
    code: int
    bits: int

    def __repr__(self) -> str:
        return self.name

    def __str__(self) -> str:
        return self.name

    def __reduce__(self) -> str:
        return self.name.upper()


@dataclass(frozen=True, slots=True, repr=False)
class RefType:
    """A reference type. ``heap`` is the name of an abstract heap type; or a type index, in a
    module's own; or a defined type, in a closed one.

    >>> chiwawa.FUNCREF, chiwawa.RefType("func", nullable=False)
    (funcref, (ref func))
    """

    heap: str | int | DefType
    nullable: bool = True

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        short = ABBREVIATIONS.get(self.heap) if isinstance(self.heap, str) else None
        if self.nullable and short is not None:
            return short
        return f"(ref {'null ' if self.nullable else ''}{self.heap})"


ValType = NumType | VecType | RefType

I32 = NumType("i32", 0x7F, 32)
I64 = NumType("i64", 0x7E, 64)
F32 = NumType("f32", 0x7D, 32)
F64 = NumType("f64", 0x7C, 64)
V128 = VecType("v128", 0x7B, 128)
#: The bytes of the abstract heap types, which also stand for the nullable references to them.
HEAP_CODES: dict[str, int] = {
    "func": 0x70,
    "extern": 0x6F,
    "any": 0x6E,
    "eq": 0x6D,
    "i31": 0x6C,
    "struct": 0x6B,
    "array": 0x6A,
    "exn": 0x69,
    "noexn": 0x74,
    "nofunc": 0x73,
    "noextern": 0x72,
    "none": 0x71,
}
#: What the text format writes for the nullable references to them.
ABBREVIATIONS: dict[str, str] = {
    **{heap: f"{heap}ref" for heap in HEAP_CODES if not heap.startswith("no")},
    **{f"no{heap}": f"null{heap}ref" for heap in ("func", "extern", "exn")},
    "none": "nullref",
}
#: The abstract heap types that are above each, itself included (spec 3.3.3).
ABOVE: dict[str, frozenset[str]] = {
    heap: frozenset(above.split())
    for heap, above in {
        "any": "any",
        "eq": "eq any",
        "i31": "i31 eq any",
        "struct": "struct eq any",
        "array": "array eq any",
        "none": "none i31 struct array eq any",
        "func": "func",
        "nofunc": "nofunc func",
        "extern": "extern",
        "noextern": "noextern extern",
        "exn": "exn",
        "noexn": "noexn exn",
        "bot": "any eq i31 struct array none func nofunc extern noextern exn noexn bot",
    }.items()
}
FUNCREF = RefType("func")
EXTERNREF = RefType("extern")
EXNREF = RefType("exn")
ANYREF = RefType("any")
#: References to some function, and to some exception, which is there.
REF_FUNC = RefType("func", False)
REF_EXN = RefType("exn", False)

#: What the binary format writes in one byte, and the text format in one word.
VALTYPE_BY_CODE: dict[int, ValType] = {
    **{t.code: t for t in (I32, I64, F32, F64, V128)},
    **{code: RefType(heap) for heap, code in HEAP_CODES.items()},
}
VALTYPE_BY_NAME: dict[str, ValType] = {str(t): t for t in VALTYPE_BY_CODE.values()}


def defaultable(valtype: ValType) -> bool:
    """Whether a local of this type may be read before it has been set (spec 3.2.10)."""
    return not isinstance(valtype, RefType) or valtype.nullable


def zero(valtype: ValType) -> int | float | bytes | None:
    """The default value of a type (spec 4.2.1), which a local starts with. Its ``repr`` is the
    source of it, in translated code."""
    if isinstance(valtype, NumType):
        return 0.0 if valtype in (F32, F64) else 0
    if isinstance(valtype, VecType):
        return bytes(valtype.bits // 8)
    return None


@dataclass(frozen=True, slots=True, repr=False)
class FuncType:
    """Parameters and results, each a tuple of value types.

    >>> chiwawa.FuncType((chiwawa.I32, chiwawa.F64), (chiwawa.I64,))
    [i32 f64] -> [i64]
    """

    params: tuple[ValType, ...]
    results: tuple[ValType, ...]

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        left = " ".join(map(str, self.params))
        right = " ".join(map(str, self.results))
        return f"[{left}] -> [{right}]"


@dataclass(frozen=True, slots=True)
class PackedType:
    """What a field may hold that no value is: the low ``bits`` of an i32."""

    name: str
    code: int
    bits: int

    def __str__(self) -> str:
        return self.name


I8 = PackedType("i8", 0x78, 8)
I16 = PackedType("i16", 0x77, 16)
#: What a field may hold.
StorageType = ValType | PackedType


@dataclass(frozen=True, slots=True)
class FieldType:
    """Of a struct's field, or of an array's elements."""

    storage: StorageType
    mutable: bool = False

    @property
    def unpacked(self) -> ValType:
        """The type of the value that is read from it and written to it."""
        return I32 if isinstance(self.storage, PackedType) else self.storage

    def __str__(self) -> str:
        return f"(mut {self.storage})" if self.mutable else str(self.storage)


@dataclass(frozen=True, slots=True)
class StructType:
    fields: tuple[FieldType, ...]

    def __str__(self) -> str:
        return " ".join(["(struct", *(f"(field {field})" for field in self.fields)]) + ")"


@dataclass(frozen=True, slots=True)
class ArrayType:
    field: FieldType

    def __str__(self) -> str:
        return f"(array {self.field})"


#: What a defined type is made of (spec 2.3.8).
CompType = FuncType | StructType | ArrayType


@dataclass(frozen=True, slots=True)
class SubType:
    """A type that a module defines, where it is more than a final one without supertypes, for which
    its ``comp`` stands alone. ``supers`` are type indices."""

    final: bool
    supers: tuple[int, ...]
    comp: CompType

    def __str__(self) -> str:
        words = ["(sub", *(["final"] if self.final else []), *map(str, self.supers)]
        return f"{' '.join(words)} {self.comp})"


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in the unit of what they limit (pages or elements). ``address`` is the type of an
    address into it: i32, or i64 once memory64 comes."""

    min: int
    max: int | None = None
    address: NumType = I32

    def __str__(self) -> str:
        address = "" if self.address == I32 else f"{self.address} "
        return address + (f"{self.min}" if self.max is None else f"{self.min} {self.max}")


@dataclass(frozen=True, slots=True, repr=False)
class TableType:
    """Limits, in elements, and the type of the elements. ``of`` makes one as hosts do.

    >>> type = chiwawa.TableType.of(chiwawa.FUNCREF, 1, 10)
    >>> type, type.min, type.max
    (1 10 funcref, 1, 10)
    """

    limits: Limits
    element: RefType

    @classmethod
    def of(
        cls, element: RefType, min: int, max: int | None = None, address: NumType = I32
    ) -> TableType:
        return cls(Limits(min, max, address), element)

    @property
    def min(self) -> int:
        return self.limits.min

    @property
    def max(self) -> int | None:
        return self.limits.max

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        return f"{self.limits} {self.element}"


#: The bytes of a page, unless a memory says otherwise.
PAGE = 65536


@dataclass(frozen=True, slots=True, repr=False)
class MemoryType:
    """Limits in pages, which have ``page`` bytes. A ``shared`` memory is one that several threads
    may use: there is one thread all the same. ``of`` makes one as hosts do.

    >>> type = chiwawa.MemoryType.of(1, 2)
    >>> type, type.min, type.max
    (1 2, 1, 2)
    """

    limits: Limits
    page: int = PAGE
    shared: bool = False

    @classmethod
    def of(cls, min: int, max: int | None = None, address: NumType = I32) -> MemoryType:
        return cls(Limits(min, max, address))

    @property
    def min(self) -> int:
        return self.limits.min

    @property
    def max(self) -> int | None:
        return self.limits.max

    def __repr__(self) -> str:
        return str(self)

    @property
    def most_pages(self) -> int:
        """As many as its addresses reach, and a number of pages can say."""
        reach: int = 1 << self.limits.address.bits
        return min(reach // self.page, reach - 1)

    def __str__(self) -> str:
        shared = " shared" if self.shared else ""
        return f"{self.limits}{shared}" + ("" if self.page == PAGE else f" (pagesize {self.page})")


@dataclass(frozen=True, slots=True, repr=False)
class GlobalType:
    """The type of the value, and whether it can be set.

    >>> chiwawa.GlobalType(chiwawa.I64, mutable=True)
    (mut i64)
    """

    type: ValType
    mutable: bool

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        return f"(mut {self.type})" if self.mutable else str(self.type)


class DefType:
    """A defined type, closed. ``comp`` is what it is made of, ``supers`` are itself and all its
    supertypes, and ``kind`` is the abstract heap type right above: func, struct or array."""

    __slots__ = ("__weakref__", "comp", "final", "group", "heaps", "kind", "place", "supers")

    def __init__(self, group: Group, place: int, kind: str, final: bool) -> None:
        self.group = group
        #: In the group.
        self.place = place
        self.kind = kind
        self.final = final
        self.comp: CompType
        self.supers: frozenset[DefType]
        #: All heap types that its values are of.
        self.heaps: frozenset[str | DefType]

    @property
    def functype(self) -> FuncType:
        """What it is made of, where that is a function type."""
        assert isinstance(self.comp, FuncType)
        return self.comp

    @property
    def params(self) -> tuple[ValType, ...]:
        return self.functype.params

    @property
    def results(self) -> tuple[ValType, ...]:
        return self.functype.results

    def subtype(self, indexes: Mapping[DefType, int]) -> CompType | SubType:
        """What defines it in a module where types have ``indexes``, its own type names closed."""
        direct = self.supertypes
        if self.final and not direct:
            return self.comp
        return SubType(self.final, tuple(indexes[each] for each in direct), self.comp)

    @property
    def supertypes(self) -> tuple[DefType, ...]:
        """Those right above it: none or one."""
        _, supers, _ = self.group.key[self.place]
        return tuple(self.group.types[s] if isinstance(s, int) else s for s in supers)

    def __str__(self) -> str:
        return str(mapped(self.comp, lambda heap: "…" if isinstance(heap, DefType) else heap))

    def __repr__(self) -> str:
        return f"<{self}>"


class Group:
    """The defined types of a recursive group."""

    __slots__ = ("__weakref__", "key", "types")

    def __init__(self, key: Any) -> None:
        #: What it is found by: its types, in which those of the group have their places, and all
        #: others are defined types.
        self.key = key
        self.types: tuple[DefType, ...] = ()


def mapped(thing: Any, heap: Callable[[Any], Any]) -> Any:
    """``thing``, a type or a tuple of types, with other heap types in it; the same object where
    there is nothing to change."""
    if isinstance(thing, tuple):
        found = tuple([mapped(each, heap) for each in thing])
        return thing if all(map(_is, found, thing)) else found
    if isinstance(thing, RefType):
        new = heap(thing.heap)
        return thing if new is thing.heap else replace(thing, heap=new)
    for names in _PARTS.get(type(thing), ()):
        parts = {name: mapped(getattr(thing, name), heap) for name in names}
        if any(part is not getattr(thing, name) for name, part in parts.items()):
            return replace(thing, **parts)
    return thing


def _is(one: object, other: object) -> bool:
    return one is other


#: What has types in it, and where.
_PARTS: dict[type, tuple[tuple[str, ...]]] = {
    FuncType: (("params", "results"),),
    StructType: (("fields",),),
    ArrayType: (("field",),),
    FieldType: (("storage",),),
    SubType: (("comp",),),
    TableType: (("element",),),
    GlobalType: (("type",),),
}


@dataclass(frozen=True, slots=True, repr=False)
class TagType:
    """What an exception of a tag carries: the parameters of ``type``, which has no results.

    >>> module = chiwawa.load('(module (tag (export "e") (param i32)))')
    >>> module.exports[0].type, module.exports[0].type.type.params
    ([i32] -> [], (i32,))
    """

    type: DefType

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        return str(self.type)


#: What can be imported and exported.
ExternType = DefType | TableType | MemoryType | GlobalType | TagType
#: What embedders get for it: of a function, what its defined type is made of.
ItemType = FuncType | TableType | MemoryType | GlobalType | TagType


def item_type(type_: ExternType) -> ItemType:
    return type_.functype if isinstance(type_, DefType) else type_
