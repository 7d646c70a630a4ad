"""How a rewritten function has references: in which types of locals, and what stands for one that
nobody looks at.

A local of the rewritten function has null where nothing is in it yet, and the tables that saved
frames put references into are of the types above all others of a hierarchy. So where a module says
more of its references than their hierarchy, the locals that hold its operands, and those of its own
that have no value at first, are of nullable types; what is read from one is said not to be null
again, and what comes from a table is cast. In any other module each reference is taken for one of
its hierarchy. The types here are a module's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from chiwawa.binary.types import write_valtype
from chiwawa.lower.lowered import Lowered, Spaces
from chiwawa.module import Module
from chiwawa.native import code
from chiwawa_runtime.state.deftypes import opened, type_indexes
from chiwawa_runtime.state.subtyping import stated, top
from chiwawa_runtime.state.types import FUNCREF, REF_EXN, FuncType, RefType, ValType

#: An exception of a tag, caught where it is thrown.
_THROWN = (
    code.BYTE["block"]
    + write_valtype(REF_EXN)
    + code.TRY_TABLE
    + code.u(1)
    + code.clause(None, True, 0)
    + code.BYTE["throw"]
    + b"%b"
    + code.END
    + code.UNREACHABLE
    + code.END
)
_NON_NULL = code.BYTE["ref.as_non_null"]
#: The heap types that null alone can be of, where nobody makes structures and arrays; those that
#: the module defines are so, too.
EMPTY = frozenset(("nofunc", "noextern", "noexn", "none", "struct", "array"))


def is_of_nothing(valtype: ValType, module: Module) -> bool:
    """Whether there is no value of the type, as the module has it."""
    if not isinstance(valtype, RefType) or valtype.nullable:
        return False
    heap = valtype.heap
    return heap in EMPTY or (isinstance(heap, int) and module.functype(heap) is None)


class References:
    """Of one module; ``exact`` says whether its types matter. ``functions`` are the functions, by
    the heap types that they are of, that stand for references which nobody looks at."""

    def __init__(self, spaces: Spaces, exact: bool) -> None:
        self.spaces = spaces
        self.exact = exact
        self.indexes = type_indexes(spaces.types) if exact else {}
        self.functions: dict[object, int] = {}
        #: A tag without parameters, where an exception is to be had.
        self.tag: int | None = None
        self.known: dict[tuple[ValType, ...], tuple[ValType, ...]] = {}

    def seen(self, types: tuple[ValType, ...]) -> tuple[ValType, ...]:
        """Closed types as rewriting sees them."""
        if not self.exact:
            return tuple(map(stated, types))
        found = self.known.get(types)
        if found is None:
            found = self.known[types] = opened(types, self.indexes)
        return found

    def functype(self, functype: FuncType) -> FuncType:
        """A closed type of functions, with types as rewriting sees them."""
        return opened(functype, self.indexes) if self.exact else functype

    def lowered(self, lowered: Lowered) -> Lowered:
        """The same function, with types as rewriting sees them, and locals as it has them."""
        if not self.exact:
            return lowered
        params = len(lowered.type.params)
        locals_ = self.seen(lowered.locals)
        return replace(
            lowered,
            type=self.functype(lowered.type),
            locals=locals_[:params] + tuple(map(self.held, locals_[params:])),
            calls={place: self.functype(each) for place, each in lowered.calls.items()},
        )

    def held(self, valtype: ValType) -> ValType:
        """The type of a local that has a value of the type, or none yet."""
        if isinstance(valtype, RefType) and not valtype.nullable and self.exact:
            return replace(valtype, nullable=True)
        return valtype

    def got(self, valtype: ValType) -> bytes:
        """What makes of the value of such a local one of the type."""
        if isinstance(valtype, RefType) and not valtype.nullable and self.exact:
            return _NON_NULL
        return b""

    def kept(self, valtype: ValType) -> ValType:
        """The type of what records keep of a value."""
        if not isinstance(valtype, RefType):
            return valtype
        heap = valtype.heap
        return top(replace(valtype, heap=self.spaces.types[heap]) if type(heap) is int else valtype)

    def all_kept(self, types: Iterable[ValType]) -> tuple[ValType, ...]:
        return tuple(map(self.kept, types))

    def taken(self, valtype: ValType) -> bytes:
        """What makes of what a record has kept a value of the type."""
        if not isinstance(valtype, RefType) or not self.exact:
            return b""
        if valtype.heap == self.kept(valtype).heap:  # type: ignore[union-attr]
            return self.got(valtype)
        return code.ref_cast(valtype)

    def some(self, valtype: ValType) -> bytes:
        """Push a value of the type, whichever; or never go on, where there is none."""
        if not isinstance(valtype, RefType) or valtype.nullable or not self.exact:
            return code.zero(valtype)
        if valtype.heap in ("any", "eq", "i31"):
            return code.i32(0) + code.prefixed("ref.i31")
        if valtype.heap == "extern":
            return code.i32(0) + code.prefixed("ref.i31") + code.prefixed("extern.convert_any")
        if valtype.heap == "exn":
            assert self.tag is not None
            return _THROWN % (code.u(self.tag),)
        function = self.functions.get(valtype.heap)
        if function is not None:
            return code.BYTE["ref.func"] + code.u(function)
        assert is_of_nothing(valtype, self.spaces.module)
        return code.UNREACHABLE

    def wanted(self) -> list[int | str]:
        """The heap types that ``functions`` is to have a function for."""
        found: dict[int | str, None] = {}
        for valtype in self.without_null():
            assert isinstance(valtype.heap, int | str)
            if self.kept(valtype) == FUNCREF and valtype.heap not in EMPTY:
                found[valtype.heap] = None
        return list(found)

    def needs_tag(self) -> bool:
        return REF_EXN in self.without_null()

    def without_null(self) -> Iterator[RefType]:
        """The references that cannot be null, of the types of functions."""
        for deftype in self.spaces.types if self.exact else ():
            if not isinstance(deftype.comp, FuncType):
                continue
            functype = self.functype(deftype.functype)
            for valtype in (*functype.params, *functype.results):
                if isinstance(valtype, RefType) and not valtype.nullable:
                    yield valtype
