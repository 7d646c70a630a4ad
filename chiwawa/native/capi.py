"""What the native path uses of wasmtime's C API, by ctypes, and of its Python package.

The package's own ``Func`` costs tens of microseconds a call: it looks at the types of every value.
Here a call passes values as they are, 16 bytes each.
"""

from __future__ import annotations

import ctypes
from ctypes import (
    POINTER,
    Structure,
    Union,
    c_bool,
    c_size_t,
    c_uint8,
    c_uint32,
    c_uint64,
    c_void_p,
)
from typing import Any

import wasmtime
from wasmtime import _ffi

from chiwawa_runtime.state.types import V128, FuncType, ValType

_dll: Any = _ffi.dll
#: Where wasmtime's library is.
LIBRARY: str = _dll._name


class Func(Structure):
    _fields_ = (("store", c_uint64), ("private", c_void_p))


class Global(Structure):
    _fields_ = (
        ("store", c_uint64),
        ("private1", c_uint32),
        ("private2", c_uint32),
        ("private3", c_uint32),
    )


class Externref(Structure):
    _fields_ = (
        ("store", c_uint64),
        ("private1", c_uint32),
        ("private2", c_uint32),
        ("private3", c_void_p),
    )


class Exnref(Externref):
    """The same shape."""


class Anyref(Externref):
    """The same shape."""


class _Of(Union):
    _fields_ = (
        ("bits", c_uint64),
        ("func", Func),
        ("externref", Externref),
        ("exnref", Exnref),
        ("anyref", Anyref),
        ("v128", c_uint8 * 16),
        # Of what else there may be.
        ("room", c_uint64 * 3),
    )


class Val(Structure):
    """A value with its kind."""

    _fields_ = (("kind", c_uint8), ("of", _Of))


assert ctypes.sizeof(Val) == ctypes.sizeof(_ffi.wasmtime_val_t)
#: Kinds of values by type, in the order of wasmtime's header.
KINDS = {
    "i32": 0,
    "i64": 1,
    "f32": 2,
    "f64": 3,
    "v128": 4,
    "funcref": 5,
    "externref": 6,
    "anyref": 7,
    "exnref": 8,
}

#: What wasmtime calls for a host function: ``(env, caller, values, count)``. Where it returns
#: something, that is a trap.
Callback = ctypes.CFUNCTYPE(c_void_p, c_void_p, c_void_p, POINTER(c_uint64), c_size_t)
Finalizer = ctypes.CFUNCTYPE(None, c_void_p)


def function(name: str, result: Any, *args: Any) -> Any:
    # The package's own has types of the package's.
    place = ctypes.cast(getattr(_dll, name), c_void_p).value
    assert place is not None
    return ctypes.CFUNCTYPE(result, *args)(place)


_p = c_void_p
call_unchecked = function("wasmtime_func_call_unchecked", _p, _p, _p, _p, c_size_t, _p)
new_unchecked = function("wasmtime_func_new_unchecked", None, _p, _p, Callback, _p, _p, _p)
func_to_raw = function("wasmtime_func_to_raw", _p, _p, _p)
func_from_raw = function("wasmtime_func_from_raw", None, _p, _p, _p)
externref_new = function("wasmtime_externref_new", c_bool, _p, _p, Finalizer, _p)
externref_data = function("wasmtime_externref_data", _p, _p, _p)
externref_to_raw = function("wasmtime_externref_to_raw", c_uint32, _p, _p)
externref_from_raw = function("wasmtime_externref_from_raw", None, _p, c_uint32, _p)
anyref_from_raw = function("wasmtime_anyref_from_raw", None, _p, c_uint32, _p)
anyref_to_raw = function("wasmtime_anyref_to_raw", c_uint32, _p, _p)
anyref_unroot = function("wasmtime_anyref_unroot", None, _p)
exnref_unroot = function("wasmtime_exnref_unroot", None, _p)
externref_unroot = function("wasmtime_externref_unroot", None, _p)
global_new = function("wasmtime_global_new", _p, _p, _p, _p, _p)
global_get = function("wasmtime_global_get", None, _p, _p, _p)
global_set = function("wasmtime_global_set", _p, _p, _p, _p)
table_get = function("wasmtime_table_get", c_bool, _p, _p, c_uint64, _p)
table_set = function("wasmtime_table_set", _p, _p, _p, c_uint64, _p)
table_grow = function("wasmtime_table_grow", _p, _p, _p, c_uint64, _p, _p)
table_size = function("wasmtime_table_size", c_uint64, _p, _p)
memory_data = function("wasmtime_memory_data", _p, _p, _p)
memory_data_size = function("wasmtime_memory_data_size", c_size_t, _p, _p)
memory_grow = function("wasmtime_memory_grow", _p, _p, _p, c_uint64, _p)
store_limiter = function("wasmtime_store_limiter", None, _p, *[ctypes.c_int64] * 5)
trap_new = function("wasmtime_trap_new", _p, ctypes.c_char_p, c_size_t)
caller_export_get = function(
    "wasmtime_caller_export_get", c_bool, _p, ctypes.c_char_p, c_size_t, _p
)
trap_code = function("wasmtime_trap_code", c_bool, _p, POINTER(c_uint8))
branch_hinting_set = function("wasmtime_config_wasm_branch_hinting_set", None, _p, c_bool)
wide_arithmetic_set = function("wasmtime_config_wasm_wide_arithmetic_set", None, _p, c_bool)
custom_page_sizes_set = function("wasmtime_config_wasm_custom_page_sizes_set", None, _p, c_bool)
async_stack_size_set = function("wasmtime_config_async_stack_size_set", None, _p, c_size_t)


# The package's own ways to types abort the process where there are vectors.


def _valtype(valtype: ValType) -> Any:
    """wasmtime's object for a type, for whoever takes it over."""
    if valtype is V128:
        return _ffi.wasmtime_wasm_valtype_v128()
    return _ffi.wasm_valtype_new(VALTYPE_KINDS[str(valtype)])


#: Kinds of types, as the header of Wasm's own C API has them.
VALTYPE_KINDS = {"i32": 0, "i64": 1, "f32": 2, "f64": 3, "externref": 128, "funcref": 129}


def func_type(functype: FuncType) -> wasmtime.FuncType:
    taken = []
    for types in (functype.params, functype.results):
        vector = _ffi.wasm_valtype_vec_t()
        _ffi.wasm_valtype_vec_new_uninitialized(ctypes.byref(vector), len(types))
        for place, valtype in enumerate(types):
            vector.data[place] = _valtype(valtype)
        taken.append(vector)
    made = _ffi.wasm_functype_new(*map(ctypes.byref, taken))
    return wasmtime.FuncType._from_ptr(made, None)


def constant_type(valtype: ValType) -> wasmtime.GlobalType:
    """The type of an immutable global."""
    made = _ffi.wasm_globaltype_new(_valtype(valtype), _ffi.WASM_CONST)
    return wasmtime.GlobalType._from_ptr(made, None)


def has_exceptions() -> bool:
    """Whether this wasmtime lets a host see exceptions."""
    return hasattr(wasmtime, "TagType") and hasattr(_dll, "wasmtime_exnref_tag")


def context(store: wasmtime.Store) -> int:
    """The address that functions of a store take first."""
    return ctypes.cast(store._context(), c_void_p).value or 0


def address(pointer: Any) -> int:
    return ctypes.cast(pointer, c_void_p).value or 0


def discard(error: int) -> None:
    """An error that has said enough by being there."""
    _error_delete(error)


def message(error: int) -> str:
    """What an error says; it is gone then."""
    text = _Bytes()
    _error_message(error, ctypes.byref(text))
    said = ctypes.string_at(text.data, text.size).decode("utf-8", "replace")
    _error_delete(error)
    return said


class _Bytes(Structure):
    _fields_ = (("size", c_size_t), ("data", c_void_p))


discard_trap = function("wasm_trap_delete", None, _p)
_error_delete = function("wasmtime_error_delete", None, _p)
_error_message = function("wasmtime_error_message", None, _p, _p)
