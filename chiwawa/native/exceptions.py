"""The exceptions in a wasmtime store, as those that a program holds, and the tags that they are of.

wasmtime gives an exception's tag and values, and makes exceptions of them. It has no way to ask
whether two references are the same one but the number that each has: an exception stays where it is
in wasmtime's heap. So as long as somebody here holds one, it is kept alive there, and has that
number for itself.
"""

from __future__ import annotations

import ctypes
from ctypes import Structure, c_bool, c_size_t, c_uint32, c_uint64, c_void_p
from typing import Any, Protocol
from weakref import WeakKeyDictionary, WeakValueDictionary

import wasmtime

from chiwawa.native import capi
from chiwawa.native.engine_types import tag_type
from chiwawa_runtime.state.exceptions import ExceptionInstance, Tag
from chiwawa_runtime.state.subtyping import top
from chiwawa_runtime.state.types import EXNREF, RefType, ValType


class _Place(Structure):
    _fields_ = (("store", c_uint64), ("private1", c_uint32))


class TagItem(Structure):
    """A tag, as wasmtime knows it."""

    _fields_ = (("place", _Place), ("private2", c_uint32))

    @property
    def key(self) -> tuple[int, int]:
        """What only this one has in its store."""
        return self.place.private1, self.private2


_p = c_void_p
_new = capi.function("wasmtime_exnref_new", _p, _p, _p, _p, c_size_t, _p)
_clone = capi.function("wasmtime_exnref_clone", None, _p, _p)
_tag = capi.function("wasmtime_exnref_tag", _p, _p, _p, _p)
_field = capi.function("wasmtime_exnref_field", _p, _p, _p, c_size_t, _p)
_to_raw = capi.function("wasmtime_exnref_to_raw", c_uint32, _p, _p)
_from_raw = capi.function("wasmtime_exnref_from_raw", None, _p, c_uint32, _p)
_set = capi.function("wasmtime_context_set_exception", _p, _p, _p)
_take = capi.function("wasmtime_context_take_exception", c_bool, _p, _p)
_tag_new = capi.function("wasmtime_tag_new", _p, _p, _p, _p)


class Store(Protocol):
    """The vault whose exceptions they are."""

    context: int
    engine: wasmtime.Engine

    def val(self, valtype: ValType, value: Any) -> capi.Val: ...

    def release(self, val: capi.Val) -> None: ...

    def value(self, valtype: ValType, val: capi.Val) -> Any: ...


class Root:
    """What keeps an exception alive in the store. Any thread may let go of it."""

    __slots__ = ("reference",)

    def __init__(self, reference: capi.Exnref) -> None:
        self.reference = reference

    def __del__(self) -> None:
        capi.exnref_unroot(ctypes.byref(self.reference))


class Exceptions:
    """Those in ``store``. A reference that is given is taken over; one that is given back is new,
    and to be unrooted."""

    def __init__(self, store: Store) -> None:
        self.store = store
        #: By identity, and by what wasmtime knows them by.
        self.tags: dict[int, tuple[Tag, TagItem]] = {}
        self.known: dict[tuple[int, int], Tag] = {}
        #: The exceptions that somebody here holds, and the number that each has.
        self.held: WeakKeyDictionary[ExceptionInstance, Root] = WeakKeyDictionary()
        self.numbered: WeakValueDictionary[int, ExceptionInstance] = WeakValueDictionary()

    # Tags.

    def add_tag(self, tag: Tag, item: Any) -> None:
        """``item``, a structure of wasmtime's, is ``tag``."""
        given = TagItem.from_buffer_copy(bytes(item))
        self.tags[id(tag)] = tag, given
        self.known[given.key] = tag

    def tag_item(self, tag: Tag) -> TagItem:
        """``tag`` in the store: what no instance in it has is the host's there."""
        found = self.tags.get(id(tag))
        if found is None:
            item = TagItem()
            tagtype = tag_type(self.store.engine, tag.type.type)
            at = capi.address(tagtype.ptr())
            _check(_tag_new(self.store.context, at, ctypes.byref(item)))
            self.add_tag(tag, item)
            return item
        return found[1]

    def forget(self) -> None:
        """Tags are others from now on, and exceptions of theirs are to be made anew."""
        self.tags.clear()
        self.held.clear()
        self.numbered.clear()

    # Exceptions as a program holds them.

    def exception(self, reference: capi.Exnref) -> ExceptionInstance:
        found, new = self._met(reference)
        while new:
            exception = new.pop()
            values = []
            for place, valtype in enumerate(exception.tag.type.type.params):
                val = capi.Val()
                root = ctypes.byref(self.held[exception].reference)
                _check(_field(self.store.context, root, place, ctypes.byref(val)))
                if _is_exception(valtype) and val.of.exnref.store:
                    # However many are in each other.
                    value, more = self._met(val.of.exnref)
                    new += more
                else:
                    value = self.store.value(valtype, val)
                values.append(value)
            exception.held = tuple(values)
        return found

    def _met(self, reference: capi.Exnref) -> tuple[ExceptionInstance, list[ExceptionInstance]]:
        """What it is; and that again, if it is new, and has no values yet."""
        root = Root(_copy(reference))
        at = ctypes.byref(root.reference)
        number = _to_raw(self.store.context, at)
        found = self.numbered.get(number)
        if found is not None:
            return found, []
        item = TagItem()
        _check(_tag(self.store.context, at, ctypes.byref(item)))
        made = self.numbered[number] = ExceptionInstance(self.known[item.key], ())
        self.held[made] = root
        return made, [made]

    # The opposite.

    def reference(self, exception: ExceptionInstance) -> capi.Exnref:
        work = [exception]
        while work:
            each = work[-1]
            missing = [value for value in _inside(each) if value not in self.held]
            work += missing
            if not missing:
                work.pop()
                if each not in self.held:
                    self._make(each)
        out = capi.Exnref()
        _clone(ctypes.byref(self.held[exception].reference), ctypes.byref(out))
        return out

    def _make(self, exception: ExceptionInstance) -> None:
        tag, context = exception.tag, self.store.context
        params = tag.type.type.params
        vals = (capi.Val * len(params))()
        for place, (valtype, value) in enumerate(zip(params, exception.held, strict=True)):
            vals[place] = self.store.val(valtype, value)
        reference = capi.Exnref()
        item = ctypes.byref(self.tag_item(tag))
        error = _new(context, item, vals, len(params), ctypes.byref(reference))
        for val in vals:
            self.store.release(val)
        _check(error)
        self.numbered[_to_raw(context, ctypes.byref(reference))] = exception
        self.held[exception] = Root(reference)

    def as_call(self, exception: ExceptionInstance) -> int:
        """As calls take it."""
        made = Root(self.reference(exception))
        found: int = _to_raw(self.store.context, ctypes.byref(made.reference))
        return found

    def of_call(self, raw: int) -> ExceptionInstance:
        reference = capi.Exnref()
        _from_raw(self.store.context, raw, ctypes.byref(reference))
        return self.exception(reference)

    # On their way.

    def throw(self, exception: ExceptionInstance) -> int:
        """What a host function returns to throw it."""
        made = Root(self.reference(exception))
        trap: int = _set(self.store.context, ctypes.byref(made.reference))
        return trap

    def thrown(self) -> ExceptionInstance | None:
        """What a call has ended in."""
        reference = capi.Exnref()
        if not _take(self.store.context, ctypes.byref(reference)):
            return None
        return self.exception(reference)


def _is_exception(valtype: ValType) -> bool:
    return isinstance(valtype, RefType) and top(valtype) == EXNREF


def _inside(exception: ExceptionInstance) -> list[ExceptionInstance]:
    """The exceptions among its values."""
    params = exception.tag.type.type.params
    return [
        value
        for valtype, value in zip(params, exception.held, strict=True)
        if value is not None and _is_exception(valtype)
    ]


def _copy(reference: capi.Exnref) -> capi.Exnref:
    """The same structure, not in a place of another's."""
    return capi.Exnref.from_buffer_copy(bytes(reference))


def _check(error: int | None) -> None:
    if error:
        raise MemoryError(capi.message(error))
