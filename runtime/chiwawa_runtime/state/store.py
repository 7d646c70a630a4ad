"""Functions as values: what a table holds, an import gives and an export hands out (spec 4.2).

A ``Function`` belongs to one instance, or to the host. Memories, tables and globals have modules of
their own. Nothing here knows how Wasm functions run: their engine does.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from chiwawa_runtime.errors import Abrupt, HostError, WasiExit
from chiwawa_runtime.state.deftypes import of_functype
from chiwawa_runtime.state.exceptions import ExceptionInstance
from chiwawa_runtime.state.heap import External, Internal, described, ref_test, shown
from chiwawa_runtime.state.numerics import f32_round
from chiwawa_runtime.state.plain import plain
from chiwawa_runtime.state.subtyping import heap_matches, top
from chiwawa_runtime.state.types import (
    EXNREF,
    EXTERNREF,
    F32,
    F64,
    FUNCREF,
    I32,
    I64,
    V128,
    DefType,
    FuncType,
    RefType,
    ValType,
)

#: What the host raises into a program to end it (or, of exceptions, until something in it catches
#: them), and what a call back was ended by. It reaches the
#: caller as it is; any other exception of the host's is wrapped.
PASSING = (Abrupt, WasiExit, HostError)


@dataclass(frozen=True, slots=True)
class HostFunction:
    """A Python function that a program may import.

    ``call`` gets i32 and i64 as ints, signed as everywhere (``unsigned``: as a program holds
    them), f32 and f64 as floats, references as they are; with ``with_instance`` the importing
    ``Instance`` comes first. It returns None, one value, or several in a sequence, as ``type`` has
    results (one externref as it is, whatever that is); see ``coerce`` for what is taken. What it
    raises reaches the caller as the cause of a ``HostError`` (see there).

    >>> i32 = chiwawa.I32
    >>> twice = chiwawa.HostFunction(chiwawa.FuncType((i32,), (i32,)), lambda n: 2 * n, "twice")
    >>> module = chiwawa.load('''(module (import "host" "twice" (func (param i32) (result i32)))
    ...   (export "twice" (func 0)))''')
    >>> chiwawa.instantiate(module, {"host": {"twice": twice}}).invoke("twice", [21])
    [42]
    """

    type: FuncType
    call: Callable[..., Any]
    name: str = "host"
    with_instance: bool = False
    #: What it keeps of a program, for checkpoints: a ``Wasi``.
    state: Any = None
    unsigned: bool = False


class Function:
    """A function instance, of an instance or of the host. Wherever it comes from, an export, a
    table or a result, it is called as Python's functions are: it takes arguments of its ``type``,
    and returns the value of its result, a tuple of several, or None. Raises what
    ``Instance.invoke`` does.

    ``call_at`` calls one of the host, from a depth in the call stack, and ``call_exactly`` does so
    with arguments as the host is to have them (``host_call`` is what that does); one of an instance
    is called by its engine (``Engine.start``). The other two are for generated code alone, which
    finds them in the functions that a table holds: ``direct``, a Python callable, where a call
    cannot be suspended, and else ``enter``, a generator function that is delegated to, whose last
    argument is the depth in its segment.

    No ``__getattr__`` here: Python reads all attributes of such a class more slowly.

    >>> module = chiwawa.load('''(module (func $add (export "add") (param i32 i32) (result i32)
    ...   (i32.add (local.get 0) (local.get 1))))''')
    >>> add = chiwawa.instantiate(module).exports["add"]
    >>> add
    <function add [i32 i32] -> [i32]>
    >>> add(2, -3)
    -1
    """

    __slots__ = (
        "call_at",
        "call_exactly",
        "deftype",
        "direct",
        "enter",
        "host",
        "host_call",
        "importer",
        "index",
        "instance",
        "name",
        "type",
    )

    enter: Callable[..., Generator[Any, Any, Any]]

    def __init__(
        self,
        type_: FuncType | DefType,
        *,
        instance: Any,
        index: int,
        name: str | None,
        host: HostFunction | None = None,
    ) -> None:
        #: Its defined type, and the function type that this is made of.
        self.deftype = type_ if isinstance(type_, DefType) else of_functype(type_)
        self.type = self.deftype.functype
        #: The ``ModuleInstance`` that it is of, which is no business of this room; or None.
        self.instance = instance
        #: Of one of the host's, the ``ModuleInstance`` that it was given to, or None.
        self.importer: Any = None
        self.index = index
        self.name = name
        self.host = host
        self.direct: Callable[..., Any] | None = None
        self.call_at: Callable[[int, Sequence[Any]], Any] | None = None
        self.call_exactly: Callable[[int, Sequence[Any]], Any] | None = None
        self.host_call: Any = None

    def __repr__(self) -> str:
        return f"<function {self.name or self.index} {self.type}>"

    def __call__(self, *args: Any) -> Any:
        values = self.taken(args, self.name or f"function {self.index}")
        if self.instance is not None:
            return together(self.instance.returned(self.index, values))
        assert self.call_at is not None
        value = self.call_at(0, values)
        results = self.type.results
        if len(results) == 1:
            return plain(value, results[0])
        return tuple(map(plain, value, results)) if results else None

    def taken(self, args: Sequence[Any], name: str) -> list[Any]:
        """``args`` as a program holds them. Raises TypeError and ValueError where they are none of
        its type; it is called ``name`` there."""
        params = self.type.params
        if len(params) != len(args):
            raise TypeError(f"{name} takes {len(params)} arguments, not {len(args)}")
        return list(map(coerce, args, params))


def coerce(value: Any, valtype: ValType) -> Any:
    """``value`` as a program holds it. This is the one way in for values of the host: arguments,
    results of host functions, what is put into globals and tables, and what probes write. Raises
    TypeError where it is of another type, and ValueError where it is out of range.

    An i32 or i64 takes an int, signed or unsigned; an f32 or f64 a float or an int, and an f32
    rounds it; a v128 16 bytes; a funcref a ``Function`` or None, or one of a type of its own a
    ``Function`` of that type; an exnref an ``ExceptionInstance`` or None; an anyref what a program
    gave as one, or an int that is the bits of an i31; an externref anything. There, too, what a
    program gave as an anyref stays that (but no int, which is the host's own).
    """
    if valtype is I32 or valtype is I64:
        if not isinstance(value, int):
            raise TypeError(f"{valtype} wants an int, not {described(value)}")
        if not -(1 << (valtype.bits - 1)) <= value < 1 << valtype.bits:
            raise ValueError(f"{value} is out of range for {valtype}")
        return int(value) & ((1 << valtype.bits) - 1)
    if valtype is F64 or valtype is F32:
        if not isinstance(value, int | float):
            raise TypeError(f"{valtype} wants a float, not {described(value)}")
        try:
            value = float(value)
        except OverflowError:
            raise ValueError(f"an int of so many digits is out of range for {valtype}") from None
        if valtype is F32 and value == value:
            return f32_round(value)
        return value
    if valtype is V128:
        if not isinstance(value, bytes | bytearray | memoryview):
            raise TypeError(f"{valtype} wants 16 bytes, not {described(value)}")
        value = bytes(value)
        if len(value) != 16:
            raise ValueError(f"{valtype} wants 16 bytes, not {len(value)}")
        return value
    if isinstance(valtype, RefType) and not holds(valtype, value):
        wanted = _WANTED.get(top(valtype), "a reference")
        null = " or None" if valtype.nullable else ""
        raise TypeError(f"{valtype} wants {wanted}{null}, not {described(value)}")
    if type(value) is list and valtype == EXTERNREF and is_internal(value):
        return External(value)
    return value


_WANTED: dict[RefType, str] = {FUNCREF: "a Function", EXNREF: "an exception"}


def is_internal(value: Any) -> bool:
    """Whether ``value`` is one that an ``any`` may be."""
    if type(value) is int:
        return 0 <= value < 1 << 31
    made = type(value) is list and bool(value) and isinstance(value[0], DefType)
    return made or isinstance(value, Internal)


def holds(reftype: RefType, value: Any) -> bool:
    """Whether ``value``, as a program holds it, is of type ``reftype``."""
    if value is None:
        return reftype.nullable
    if reftype.heap == "extern":
        return True
    if isinstance(value, Function):
        return heap_matches(value.deftype, reftype.heap)
    if isinstance(value, ExceptionInstance):
        return reftype.heap == EXNREF.heap
    heap = reftype.heap
    assert not isinstance(heap, int)
    return top(reftype).heap == "any" and is_internal(value) and ref_test(value, heap)


def together(values: Sequence[Any]) -> Any:
    """The results of a call, as Python's functions return them: nothing, one, or several."""
    return values[0] if len(values) == 1 else tuple(values) if values else None


def put(value: object, valtype: ValType, holder: Any) -> Any:
    """``value``, coerced, for a table or a global: where it is a function, those that have the
    ``holder`` may call it from now on."""
    ref = coerce(value, valtype)
    if isinstance(ref, Function) and ref.instance is not None:
        ref.instance.be_held(holder)
    return ref


def coerce_results(value: Any, results: tuple[ValType, ...]) -> Any:
    """What a host function returned, in the form that generated code expects."""
    if not results:
        if value is not None:
            raise TypeError(f"it has no results, but returned {shown(value)}")
        return None
    if len(results) == 1:
        if results[0] != EXTERNREF and isinstance(value, tuple | list) and len(value) == 1:
            value = value[0]
        return coerce(value, results[0])
    if not isinstance(value, Iterable):
        raise TypeError(f"it has {len(results)} results, but returned {shown(value)}")
    values = tuple(value)
    if len(values) != len(results):
        raise TypeError(f"it has {len(results)} results, but returned {len(values)}")
    return tuple(map(coerce, values, results))
