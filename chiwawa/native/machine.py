"""A rewritten module compiled and instantiated: what an engine runs."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable
from typing import Any

import wasmtime
from wasmtime import _ffi

from chiwawa.native import capi, layout
from chiwawa.native.compiled import Compiled
from chiwawa.native.state import Bound
from chiwawa.native.vault import Vault
from chiwawa_runtime.engine.segments import MAX_DEPTH
from chiwawa_runtime.errors import UnsupportedError
from chiwawa_runtime.state.types import PAGE, RefType


class Machine:
    """An instance in a vault. ``imports`` are wasmtime's externs, in order."""

    def __init__(self, compiled: Compiled, vault: Vault, imports: list[Any]) -> None:
        self.vault = vault
        self.tables = compiled.tables
        self.name = compiled.name
        self.instance = wasmtime.Instance(vault.store, compiled.module, imports)
        self.exports = self.instance.exports(vault.store)
        self.context = vault.context
        #: Where the shadow memory is. It never moves: wasmtime keeps 4 GiB of addresses for it.
        self.base = self.base_of(layout.SHADOW)
        self.depth = ctypes.c_uint32.from_address(self.base + layout.HOST_DEPTH)
        self.registers = {name: self.item(name) for name in layout.REGISTERS}
        #: Whether frames have memory.
        self.frames = layout.FP in self.exports
        if self.frames:
            self.registers[layout.FP] = self.item(layout.FP)
        self.count: Any = self.item(layout.COUNT) if self.tables.counting else None
        self.functions = self.item(layout.FUNCTIONS)
        self.drops = self.item(layout.DROP)
        self.set_most(MAX_DEPTH)
        self.set_limit(layout.NO_LIMIT)
        self.known: dict[int, capi.Func] = {}
        #: The table in which callers find by a record whom they are to call.
        resumers = layout.RESUMERS in self.exports
        self.callees = self.item(layout.RESUMERS) if resumers else self.functions

    def item(self, name: str) -> Any:
        """wasmtime's structure for an export."""
        extern = self.exports[name]._as_extern()
        kind: Any = extern.kind
        return getattr(extern.of, _KIND_FIELDS[kind])

    def bound(self, name: str) -> Bound:
        return Bound(self.vault, self.item(name))

    # The shadow memory, and that of records.

    def base_of(self, name: str) -> int:
        memory = self.item(name)
        found: int = capi.memory_data(self.context, ctypes.byref(memory))
        return found

    def records_base(self) -> int:
        return self.base_of(layout.RECORDS)

    def cell(self, address: int) -> int:
        return ctypes.c_uint32.from_address(self.base + address).value

    def set(self, address: int, value: int) -> None:
        ctypes.c_uint32.from_address(self.base + address).value = value

    def set_byte(self, address: int, value: int) -> None:
        ctypes.c_uint8.from_address(self.base + address).value = value

    def byte(self, address: int) -> int:
        return ctypes.c_uint8.from_address(self.base + address).value

    def set_most(self, most: int) -> None:
        """Have functions that count trap where they would start so deep. Byte 3 of the ceiling is
        requests'."""
        self.most = most
        ctypes.memmove(self.base + layout.CEILING, most.to_bytes(3, "little"), 3)
        self.set(layout.BACK_VALUE, most << 8)

    def set_most_of(self, limit: int, most: int | None) -> None:
        """Set ``MEMORY_LIMIT`` or ``TABLE_LIMIT``."""
        value = 0 if most is None else min(most, layout.HIGHEST_LIMIT) + 1
        ctypes.c_uint64.from_address(self.base + limit).value = value

    def have_asked(self, limit: int, function: capi.Func) -> None:
        """Have ``function`` asked instead, which is ``added.ASKED``."""
        self.put_function(layout.ASKED_PLACE, function)
        ctypes.c_int64.from_address(self.base + limit).value = layout.ASK

    def set_limit(self, limit: int) -> None:
        """But for the byte that is requests'."""
        ctypes.memmove(self.base + layout.LIMIT, limit.to_bytes(7, "little"), 7)

    def request(self, pending: bool) -> None:
        """From any thread: each byte is written at once."""
        if self.count is None:
            # It would stop a function that begins with a safepoint before that one is counted.
            self.set_byte(layout.CEILING + 3, 0x80 * pending)
        self.set_byte(layout.LIMIT + 7, 0x80 * pending)
        self.set_byte(layout.POLL, pending)

    # What the host has in the table of functions.

    def put_function(self, place: int, function: capi.Func) -> None:
        val = capi.Val()
        val.kind = capi.KINDS["funcref"]
        val.of.func = function
        at = ctypes.byref(self.functions)
        capi.table_set(self.context, at, self.tables.count + place, ctypes.byref(val))

    def append_function(self, function: capi.Func) -> int:
        """Put it behind all others that callers find by records: its place."""
        at, old, val = ctypes.byref(self.callees), ctypes.c_uint64(), capi.Val()
        val.kind = capi.KINDS["funcref"]
        val.of.func = function
        error = capi.table_grow(self.context, at, 1, ctypes.byref(val), ctypes.byref(old))
        if error:
            raise MemoryError(capi.message(error))
        return old.value

    def have_told(self, saved: capi.Func, entered: capi.Func) -> None:
        """Have these called whenever a frame has been saved, or is entered again."""
        self.put_function(layout.SAVED_PLACE, saved)
        self.put_function(layout.ENTERED_PLACE, entered)
        self.set(layout.TELL, 1)

    # Frames that are entered again.

    def begin_rewinding(self, records: bytes, depth: int) -> None:
        """Have the frames entered again that there are ``records`` of, the oldest first."""
        self.put_records(records)
        self.set_register(layout.DEPTH, depth)
        self.set_register(layout.MODE, layout.REWINDING)
        for i in range(3):
            self.set_byte(layout.CEILING + i, 0)
        if self.count is not None:
            count = self.read_count()
            ctypes.c_uint64.from_address(self.base + layout.RESUMED_COUNT).value = count
            self.set_count(layout.REWINDING_COUNT)
        self.set_byte(layout.POLL + 3, 1)

    def end_rewinding(self) -> None:
        """What the guest does itself where the youngest frame is its own."""
        self.set_register(layout.MODE, 0)
        self.set_byte(layout.POLL + 3, 0)
        self.set_most(self.most)
        if self.count is not None:
            self.set_count(ctypes.c_uint64.from_address(self.base + layout.RESUMED_COUNT).value)

    # Globals.

    def register(self, name: str) -> int:
        val = capi.Val()
        capi.global_get(self.context, ctypes.byref(self.registers[name]), ctypes.byref(val))
        return int(val.of.bits) & 0xFFFFFFFF

    def set_register(self, name: str, value: int) -> None:
        val = capi.Val()
        val.kind = capi.KINDS["i32"]
        val.of.bits = value
        capi.global_set(self.context, ctypes.byref(self.registers[name]), ctypes.byref(val))

    def read_count(self) -> int:
        val = capi.Val()
        capi.global_get(self.context, ctypes.byref(self.count), ctypes.byref(val))
        return int(val.of.bits)

    def set_count(self, count: int) -> None:
        val = capi.Val()
        val.kind = capi.KINDS["i64"]
        val.of.bits = count
        capi.global_set(self.context, ctypes.byref(self.count), ctypes.byref(val))

    def records(self) -> bytes:
        """The frames that have been saved, the youngest first."""
        start = layout.RECORDS_AT
        return ctypes.string_at(self.records_base() + start, self.register(layout.SP) - start)

    def forget_records(self) -> None:
        """The next frame that is saved is the first."""
        self.set_register(layout.SP, layout.RECORDS_AT)

    def put_records(self, records: bytes) -> None:
        """Have frames to be entered again, the oldest first."""
        before = struct.pack("<IIII", layout.RECORDS_AT - layout.BEFORE_RECORDS, 0, 0, 0)
        data = before + records
        memory = self.item(layout.RECORDS)
        size = capi.memory_data_size(self.context, ctypes.byref(memory))
        missing = layout.BEFORE_RECORDS + len(data) - size
        if missing > 0:
            old = ctypes.c_uint64()
            pages = -(-missing // PAGE)
            error = capi.memory_grow(self.context, ctypes.byref(memory), pages, ctypes.byref(old))
            if error:
                raise MemoryError(capi.message(error))
        ctypes.memmove(self.records_base() + layout.BEFORE_RECORDS, data, len(data))
        self.forget_records()
        self.set_register(layout.RP, layout.BEFORE_RECORDS)

    def references(self, heap: str) -> Any:
        """The table that references of saved frames are in."""
        return self.item(layout.REFERENCES[heap])

    def put_reference(self, valtype: RefType, place: int, value: object) -> None:
        table = self.references(str(valtype.heap))
        at = ctypes.byref(table)
        if place >= capi.table_size(self.context, at):
            old = ctypes.c_uint64()
            null = self.vault.val(valtype, None)
            error = capi.table_grow(
                self.context, at, place + 16, ctypes.byref(null), ctypes.byref(old)
            )
            if error:
                raise MemoryError(capi.message(error))
        val = self.vault.val(valtype, value)
        capi.table_set(self.context, at, place, ctypes.byref(val))
        self.vault.release(val)

    def flags(self) -> bytes:
        """Of all segments, whether they have been dropped."""
        return ctypes.string_at(self.base + layout.DROPPED, self.tables.segments)

    def drop(self, flag: int, which: bytes) -> None:
        """Mark segments from the one with ``flag`` on, where ``which`` has a 1."""
        place = self.base + flag
        before = ctypes.string_at(place, len(which))
        both = int.from_bytes(before, "little") | int.from_bytes(which, "little")
        ctypes.memmove(place, both.to_bytes(len(which), "little"), len(which))

    def set_flags(self, flags: bytes) -> None:
        ctypes.memmove(self.base + layout.DROPPED, flags, len(flags))

    # Calls.

    def function(self, index: int) -> capi.Func:
        """A function of the module's, by its index."""
        found = self.known.get(index)
        if found is None:
            val = capi.Val()
            at = ctypes.byref(self.functions)
            capi.table_get(self.context, at, index, ctypes.byref(val))
            found = self.known[index] = capi.Func(val.of.func.store, val.of.func.private)
        return found

    def finder(self, val: capi.Val) -> Callable[[int], bool]:
        """What has ``val`` be a reference to a function of the module's, by its index, and says
        whether there can be one."""
        get, context, func = capi.table_get, self.context, val.of.func
        functions, at = ctypes.byref(self.functions), ctypes.byref(val)

        def find(index: int) -> bool:
            get(context, functions, index, at)
            return bool(func.store)

        return find

    def call(self, function: Any, values: Any, count: int) -> int:
        """Call it, with ``count`` arguments or results in ``values``: the trap that it ended in, or
        0. Raises an error of wasmtime's."""
        trap = ctypes.c_void_p()
        error = capi.call_unchecked(
            self.context, ctypes.byref(function), values, count, ctypes.byref(trap)
        )
        if error:
            raise UnsupportedError(f"wasmtime: {capi.message(error)}")
        return trap.value or 0

    def arm(self, function: int) -> None:
        """Have a function stop where it begins."""
        self.set_byte(layout.DROPPED + self.tables.segments + function, 1)

    def drop_segments(self) -> None:
        """Drop those that are marked."""
        self.call(self.drops, None, 0)


#: As wasmtime's header has it; not all versions of the package do.
_TAG_KIND = 5
_KIND_FIELDS = {
    _ffi.WASMTIME_EXTERN_FUNC.value: "func",
    _ffi.WASMTIME_EXTERN_GLOBAL.value: "global_",
    _ffi.WASMTIME_EXTERN_TABLE.value: "table",
    _ffi.WASMTIME_EXTERN_MEMORY.value: "memory",
    _TAG_KIND: "tag",
}
