"""A wasmtime store, and which of our objects its references stand for.

A funcref is a ``Function`` of ours, each the same object for as long as it is there; an externref
whatever the host gave. wasmtime keeps a number for that, and says when it needs it no longer.
"""

from __future__ import annotations

import ctypes
import itertools
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakValueDictionary

import wasmtime

from chiwawa.native import capi, internals, layout
from chiwawa_runtime.engine.turns import Turn
from chiwawa_runtime.state.exceptions import ExceptionInstance
from chiwawa_runtime.state.heap import External
from chiwawa_runtime.state.numerics import f32_bits, f32_from_bits, f64_bits, f64_from_bits
from chiwawa_runtime.state.store import Function
from chiwawa_runtime.state.subtyping import stated
from chiwawa_runtime.state.table import HOST_LIMIT
from chiwawa_runtime.state.types import (
    ANYREF,
    EXNREF,
    F32,
    F64,
    FUNCREF,
    V128,
    NumType,
    ValType,
)

if TYPE_CHECKING:
    from chiwawa.native.exceptions import Exceptions

#: A vector, as calls take it.
_HALVES = struct.Struct("<QQ")
#: No limit, to wasmtime's limiter.
_ANY = -1


class Owner(Protocol):
    """What has functions in a store: an instance's engine."""

    @property
    def machine(self) -> Any:
        """The ``Machine`` that it runs."""

    @property
    def tailing(self) -> bool:
        """Whether its functions make tail calls."""

    def place_limits(self) -> None:
        """What its memories and tables may take has changed."""

    def meet(self) -> None:
        """Others share its store."""

    def native_functions(self) -> list[tuple[int, Function]]:
        """Those that a reference can be of, by the address that the store knows each by."""

    def native_function(self, function: Function) -> int | None:
        """The address by which the store knows ``function``, where it is one of these."""

    def finder(self, instance: object, val: capi.Val) -> Callable[[int], bool] | None:
        """What has ``val`` be a reference to the function with an index, and says whether it is one
        of these, where they are ``instance``'s."""


class _Held:
    """The host's objects that a store refers to. The number of one is the holder's, and its own in
    the lower bits."""

    def __init__(self) -> None:
        self.first = next(_holders) << _BITS
        #: An object, and how many of the store's references there are to it.
        self.objects: dict[int, list[Any]] = {}
        self.numbers: dict[int, int] = {}
        self.next = self.first + 1
        _held[self.first] = self

    def number_of(self, value: object) -> int:
        """For one reference more to ``value``."""
        number = self.numbers.get(id(value))
        if number is None:
            number = self.numbers[id(value)] = self.next
            self.next += 1
            self.objects[number] = [value, 0]
        self.objects[number][1] += 1
        return number

    def value_of(self, number: int) -> Any:
        return self.objects[number][0]

    def release(self, number: int) -> None:
        entry = self.objects.get(number)
        if entry is not None:
            entry[1] -= 1
            if not entry[1]:
                del self.objects[number]
                self.numbers.pop(id(entry[0]), None)


_BITS = 36
_holders = itertools.count(1)
_held: WeakValueDictionary[int, _Held] = WeakValueDictionary()


def _released(number: int | None) -> None:
    """A store needs a reference no longer. It says so while it is deleted, too: when all that is
    around it may be gone already (PyPy lets go of garbage in any order)."""
    holder = _held.get((number or 0) >> _BITS << _BITS)
    if holder is not None:
        holder.release(number or 0)


#: For all stores, since none may outlive it.
_RELEASED = capi.Finalizer(_released)


class Vault:
    """``store`` and what is in it. ``make_host`` makes a host function in it of any ``Function``,
    for those that no owner in it has. One thread at a time may use it, whose ``turn`` it is: that
    of the first instance in it."""

    def __init__(
        self,
        engine: wasmtime.Engine,
        make_host: Callable[[Vault, Function], capi.Func],
        turn: Turn,
    ) -> None:
        self.make_host = make_host
        self.turn = turn
        #: Whether there are several instances in it.
        self.shared = False
        self.engine = engine
        self.store = wasmtime.Store(engine)
        self.context = capi.context(self.store)
        capi.store_limiter(capi.address(self.store.ptr()), _ANY, HOST_LIMIT, _ANY, _ANY, _ANY)
        self.owners: list[Owner] = []
        self.functions: dict[int, Function] = {}
        self.addresses: dict[int, int] = {}
        #: What must live as long as the store does.
        self.kept: list[object] = []
        self.held = _Held()
        #: Made when something here has to do with exceptions.
        self._exceptions: Exceptions | None = None
        #: The activations that are going on, of whichever instance, on top of each other.
        self.going: list[Any] = []

    def share(self) -> None:
        """Another instance comes in."""
        if not self.shared:
            self.shared = True
            for owner in self.owners:
                owner.meet()

    def add(self, owner: Owner) -> None:
        """It has a machine."""
        self.owners.append(owner)
        if self.shared:
            owner.meet()

    @property
    def tailing(self) -> bool:
        """Whether there are tail calls."""
        return any(owner.tailing for owner in self.owners)

    def caller(self, caller: int) -> Any:
        """The owner whose functions call a host function as ``caller``."""
        name = layout.SHADOW.encode()
        extern = wasmtime._ffi.wasmtime_extern_t()
        capi.caller_export_get(caller, name, len(name), ctypes.byref(extern))
        base = capi.memory_data(self.context, ctypes.byref(extern.of.memory))
        return next(owner for owner in self.owners if owner.machine.base == base)

    # Functions.

    def function_of(self, address: int | None) -> Function | None:
        """What a funcref is, by its address."""
        if not address:
            return None
        found = self.functions.get(address)
        if found is None:
            for owner in self.owners:
                for known, function in owner.native_functions():
                    self.functions.setdefault(known, function)
            found = self.functions[address]
        return found

    def address_of(self, function: Function | None) -> int:
        """The funcref that ``function`` is."""
        if function is None:
            return 0
        found = self.addresses.get(id(function))
        if found is None:
            found = self._address_of(function)
            self.addresses[id(function)] = found
            self.functions.setdefault(found, function)
            self.kept.append(function)
        return found

    def finder(self, instance: object, val: capi.Val) -> Callable[[int], bool]:
        """What has ``val`` be a reference to a function of ``instance``'s, by index, and says
        whether an owner has it as its own."""
        for owner in self.owners:
            find = owner.finder(instance, val)
            if find is not None:
                return find
        return lambda index: False

    def _address_of(self, function: Function) -> int:
        for owner in self.owners:
            address = owner.native_function(function)
            if address is not None:
                return address
        return self.address_of_func(self.make_host(self, function))

    def address_of_func(self, func: capi.Func) -> int:
        found: int = capi.func_to_raw(self.context, ctypes.byref(func))
        return found

    def forget(self, functions: Iterable[Function]) -> None:
        """These are others from now on. What had a reference to one of them may still give it."""
        for function in functions:
            self.addresses.pop(id(function), None)

    # Host references.

    def externref(self, value: object) -> capi.Externref:
        """A new reference, to be unrooted."""
        made = capi.Externref()
        if type(value) is External:
            raw = internals.raw_of(value.value, self.raw_of_object)
            capi.externref_from_raw(self.context, raw, ctypes.byref(made))
            return made
        number = self.held.number_of(value)
        if not capi.externref_new(self.context, number, _RELEASED, ctypes.byref(made)):
            raise MemoryError("no room for a reference")
        return made

    def object_of(self, reference: capi.Externref) -> Any:
        if not reference.store:
            return None
        number = capi.externref_data(self.context, ctypes.byref(reference))
        if not number:
            raw = capi.externref_to_raw(self.context, ctypes.byref(reference))
            return External(internals.i31_of(raw))
        return self.held.value_of(number)

    def raw_of_object(self, value: object) -> int:
        """The bits of a reference to something of the host's."""
        made = self.externref(value)
        found: int = capi.externref_to_raw(self.context, ctypes.byref(made))
        capi.externref_unroot(ctypes.byref(made))
        return found

    def object_of_raw(self, raw: int) -> Any:
        """The opposite."""
        reference = capi.Externref()
        capi.externref_from_raw(self.context, raw & 0xFFFFFFFF, ctypes.byref(reference))
        found = self.object_of(reference)
        capi.externref_unroot(ctypes.byref(reference))
        return found

    # Exceptions.

    @property
    def exceptions(self) -> Exceptions:
        if self._exceptions is None:
            # Few programs have any.
            from chiwawa.native.exceptions import Exceptions

            self._exceptions = Exceptions(self)
        return self._exceptions

    def thrown(self) -> ExceptionInstance | None:
        """The exception that a call has ended in, if it has."""
        return None if self._exceptions is None else self._exceptions.thrown()

    # Values.

    def val(self, valtype: ValType, value: Any) -> capi.Val:
        """``value``, as a program holds it, as wasmtime's globals and tables take it. To be
        released."""
        val = capi.Val()
        val.kind = capi.KINDS[str(stated(valtype))]
        if isinstance(valtype, NumType):
            val.of.bits = bits_of(valtype, value)
        elif valtype is V128:
            val.of.v128[:] = value
        elif stated(valtype) == FUNCREF:
            address = self.address_of(value)
            if address:
                capi.func_from_raw(self.context, address, ctypes.byref(val.of.func))
        elif value is None:
            pass
        elif stated(valtype) == EXNREF:
            val.of.exnref = self.exceptions.reference(value)
        elif stated(valtype) == ANYREF:
            val.of.anyref = internals.reference(self.context, self.as_raw(ANYREF, value))
        else:
            val.of.externref = self.externref(value)
        return val

    def release(self, val: capi.Val) -> None:
        if val.kind == capi.KINDS["externref"] and val.of.externref.store:
            capi.externref_unroot(ctypes.byref(val.of.externref))
        elif val.kind == capi.KINDS["exnref"] and val.of.exnref.store:
            capi.exnref_unroot(ctypes.byref(val.of.exnref))
        elif val.kind == capi.KINDS["anyref"] and val.of.anyref.store:
            capi.anyref_unroot(ctypes.byref(val.of.anyref))

    def value(self, valtype: ValType, val: capi.Val) -> Any:
        """The opposite; ``val`` is released."""
        if isinstance(valtype, NumType):
            return from_bits(valtype, val.of.bits)
        if valtype is V128:
            return bytes(val.of.v128)
        if stated(valtype) == FUNCREF:
            if not val.of.func.store:
                return None
            return self.function_of(capi.func_to_raw(self.context, ctypes.byref(val.of.func)))
        if stated(valtype) == EXNREF:
            return self.exceptions.exception(val.of.exnref) if val.of.exnref.store else None
        if stated(valtype) == ANYREF:
            return self.from_raw(ANYREF, internals.taken(self.context, val.of.anyref))
        found = self.object_of(val.of.externref)
        self.release(val)
        return found

    def put(self, values: Any, place: int, valtype: ValType, value: Any) -> None:
        """Have ``value`` at a place among those that calls take: of 16 bytes each, of which all but
        vectors fill the first 8 at most."""
        if valtype is V128:
            values[2 * place], values[2 * place + 1] = _HALVES.unpack(value)
        else:
            values[2 * place] = self.as_raw(valtype, value)

    def take(self, values: Any, place: int, valtype: ValType) -> Any:
        """The opposite."""
        if valtype is V128:
            return _HALVES.pack(values[2 * place], values[2 * place + 1])
        return self.from_raw(valtype, values[2 * place])

    def as_raw(self, valtype: ValType, value: Any) -> int:
        """``value`` as calls take it, but for vectors."""
        if isinstance(valtype, NumType):
            return bits_of(valtype, value)
        if value is None:
            return 0
        if stated(valtype) == FUNCREF:
            return self.address_of(value)
        if stated(valtype) == EXNREF:
            return self.exceptions.as_call(value)
        if stated(valtype) == ANYREF:
            return internals.raw_of(value, self.raw_of_object)
        return self.raw_of_object(value)

    def from_raw(self, valtype: ValType, raw: int) -> Any:
        """The opposite."""
        if isinstance(valtype, NumType):
            return from_bits(valtype, raw)
        if stated(valtype) == FUNCREF:
            return self.function_of(raw)
        if not raw & 0xFFFFFFFF:
            return None
        if stated(valtype) == EXNREF:
            return self.exceptions.of_call(raw & 0xFFFFFFFF)
        if stated(valtype) == ANYREF:
            return internals.value_of(raw, self.object_of_raw)
        return self.object_of_raw(raw)


#: Where instances are to share a store: a place for its vault.
_together: ContextVar[list[Vault] | None] = ContextVar("together", default=None)


@contextmanager
def together() -> Iterator[None]:
    """Have the instances that are made meanwhile share a store: that of those around, if this is
    within another."""
    if _together.get() is not None:
        yield
        return
    token = _together.set([])
    try:
        yield
    finally:
        _together.reset(token)


def common_vault() -> list[Vault] | None:
    """Where the vault is, or is to be put, that an instance made now shares; None: it may have its
    own."""
    return _together.get()


def bits_of(valtype: NumType, value: Any) -> int:
    """The bits of a number, unsigned."""
    if valtype is F32:
        return f32_bits(value)
    if valtype is F64:
        return f64_bits(value)
    return int(value)


def from_bits(valtype: NumType, bits: int) -> Any:
    """The number; bits beyond its width play no part."""
    if valtype is F64:
        return f64_from_bits(bits)
    bits &= (1 << valtype.bits) - 1
    return f32_from_bits(bits) if valtype is F32 else bits
