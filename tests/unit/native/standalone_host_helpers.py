"""A host of rewritten modules that is written from ``docs/native.md`` alone, over wasmtime's own
Python API: it shares no code with the native path."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import wasmtime

POLL, CEILING, LIMIT, RESUMED, FUNCREFS, EXTERNREFS = 0, 4, 8, 16, 24, 28
BACK = 44
FIRST = 16
MAX_DEPTH = 131_072
NO_LIMIT = (1 << 55) - 1
UNWINDING, REWINDING, EXHAUSTED, INTERRUPTED, TRAPPED = 1, 2, 4, 8, 16
KINDS = ("entry", "loop", "host", "call", "trap")
TYPES = {0x7F: "i32", 0x7E: "i64", 0x7D: "f32", 0x7C: "f64", 0x70: "funcref", 0x6F: "externref"}


@dataclass(frozen=True)
class Frame:
    """Values by their bits, references by their places and one."""

    function: int
    offset: int
    kind: str
    locals: tuple[int, ...]
    stack: tuple[int, ...]


@dataclass(frozen=True)
class Entry:
    kind: str
    offset: int
    types: tuple[str, ...]


class Leb:
    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data = data
        self.at = at

    def byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def u(self) -> int:
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value


class Tables:
    def __init__(self, data: bytes) -> None:
        self.version, counting, self.segments, self.count = struct.unpack_from("<4I", data)
        self.counting = counting == 1
        starts = 48 + 4 * (self.count + 1)
        self.functions = [
            self.function(
                data[slice(*(starts + n for n in struct.unpack_from("<2I", data, 48 + 4 * i)))]
            )
            for i in range(self.count)
        ]

    def function(self, data: bytes) -> tuple[tuple[str, ...], tuple[Entry, ...]] | None:
        r = Leb(data)
        if not data or r.u() == 0:
            return None
        groups = [(r.u(), TYPES[r.byte()]) for _ in range(r.u())]
        types = tuple(each for count, each in groups for _ in range(count))
        entries = tuple(
            Entry(KINDS[r.u()], r.u(), tuple(TYPES[r.byte()] for _ in range(r.u())))
            for _ in range(r.u())
        )
        return types, entries


def tables_in(file: bytes) -> Tables:
    """Those in the first section of a file."""
    r = Leb(file, 8)
    assert r.byte() == 0
    end = r.u() + r.at
    name = file[r.at + 1 : r.at + 1 + file[r.at]]
    assert name == b"chiwawa"
    return Tables(file[r.at + 1 + len(name) + 36 : end])


def make_engine() -> wasmtime.Engine:
    config = wasmtime.Config()
    config.wasm_multi_memory = True
    config.wasm_reference_types = True
    config.wasm_bulk_memory = True
    config.cranelift_opt_level = "none"
    return wasmtime.Engine(config)


class Host:
    """An instance of a rewritten file. ``imports`` are functions, in the order of the module's."""

    def __init__(
        self, engine: wasmtime.Engine, file: bytes, imports: Sequence[Any] = (), new: bool = True
    ) -> None:
        self.store = wasmtime.Store(engine)
        module = wasmtime.Module(engine, file)
        given = [
            wasmtime.Func(self.store, need.type, function)
            for need, function in zip(module.imports, imports, strict=True)
            if isinstance(need.type, wasmtime.FuncType)
        ]
        self.tables = tables_in(file)
        self.exports = wasmtime.Instance(self.store, module, given).exports(self.store)
        self.names = [each.name for each in module.exports]
        self.memory: Any = self.exports["chiwawa:shadow"]
        self.records: Any = self.exports["chiwawa:records"]
        self.set(CEILING, MAX_DEPTH)
        self.set(BACK, MAX_DEPTH << 8)
        self.set(LIMIT, NO_LIMIT, "<Q")
        if new:
            self.run("chiwawa:initialise")
            if "chiwawa:start" in self.names:
                self.run("chiwawa:start")

    def run(self, name: str, *args: Any) -> Any:
        function: Any = self.exports[name]
        return function(self.store, *args)

    def set(self, address: int, value: int, form: str = "<I") -> None:
        self.memory.write(self.store, struct.pack(form, value), address)

    def get(self, address: int, form: str = "<I") -> int:
        end = address + struct.calcsize(form)
        return int(struct.unpack(form, self.memory.read(self.store, address, end))[0])

    def register(self, name: str) -> int:
        found: Any = self.exports["chiwawa:" + name]
        return int(found.value(self.store)) & 0xFFFFFFFF

    def set_register(self, name: str, value: int) -> None:
        found: Any = self.exports["chiwawa:" + name]
        found.set_value(self.store, value)

    @property
    def count(self) -> int:
        found: Any = self.exports["chiwawa:count"]
        return int(found.value(self.store))

    @count.setter
    def count(self, value: int) -> None:
        found: Any = self.exports["chiwawa:count"]
        found.set_value(self.store, value)

    def request(self) -> None:
        if not self.tables.counting:
            self.set(CEILING + 3, 0x80, "<B")
        self.set(LIMIT + 7, 0x80, "<B")
        self.set(POLL, 1, "<B")

    def withdraw(self) -> None:
        for address in (CEILING + 3, LIMIT + 7, POLL):
            self.set(address, 0, "<B")

    def stop_at(self, count: int) -> None:
        self.memory.write(self.store, count.to_bytes(7, "little"), LIMIT)

    def take(self) -> tuple[int, list[Frame]]:
        """The mode, and the frames that were saved, the youngest first."""
        mode = self.register("mode")
        data = self.records.read(self.store, FIRST, self.register("sp"))
        for address in (FUNCREFS, EXTERNREFS):
            self.set(address, 0)
        self.set_register("mode", 0)
        self.set_register("sp", FIRST)
        frames, at = [], 0
        while at < len(data):
            size, function, number, zero = struct.unpack_from("<4I", data, at)
            assert zero == 0
            found = self.tables.functions[function]
            assert found is not None
            types, entry = found[0], found[1][number]
            values = [
                struct.unpack_from("<Q" if each in ("i64", "f64") else "<I", data, at + 16 + 8 * i)
                for i, each in enumerate((*types, *entry.types))
            ]
            assert size >= 16 + 8 * len(values)
            own = tuple(value for (value,) in values)
            frames.append(
                Frame(function, entry.offset, entry.kind, own[: len(types)], own[len(types) :])
            )
            at += size
        return mode, frames

    def go_on(self, frames: Sequence[Frame]) -> Any:
        """Enter the frames again, and go on."""
        data = struct.pack("<4I", FIRST, 0, 0, 0)
        for position in range(len(frames) - 1, -1, -1):
            frame = frames[position]
            found = self.tables.functions[frame.function]
            assert found is not None
            waits = position > 0
            number = max(
                i
                for i, entry in enumerate(found[1])
                if entry.offset == frame.offset
                and (entry.kind == "call") == waits
                and entry.kind != "trap"
            )
            values = (*frame.locals, *frame.stack)
            head = struct.pack("<4I", 16 + 8 * len(values), frame.function, number, 0)
            data += head + struct.pack(f"<{len(values)}Q", *values)
        missing = len(data) - self.records.data_len(self.store)
        if missing > 0:
            self.records.grow(self.store, -(-missing // 65536))
        self.records.write(self.store, data, 0)
        for name, value in (("sp", FIRST), ("rp", 0), ("depth", 0), ("mode", REWINDING)):
            self.set_register(name, value)
        for i in range(3):
            self.set(CEILING + i, 0, "<B")
        self.set(POLL + 3, 1, "<B")
        if self.tables.counting:
            self.set(RESUMED, self.count, "<Q")
            self.count = 1 << 62
        functions: Any = self.exports["chiwawa:functions"]
        oldest = functions.get(self.store, frames[-1].function)
        zeros = [
            None if str(each) in ("funcref", "externref") else 0
            for each in oldest.type(self.store).params
        ]
        return oldest(self.store, *zeros)

    def move_to(self, other: Host) -> None:
        """Have another instance's memories and globals as they are here."""
        for name in self.names:
            if name.startswith("chiwawa:memory:"):
                here: Any = self.exports[name]
                there: Any = other.exports[name]
                data = here.read(self.store)
                more = len(data) - there.data_len(other.store)
                if more:
                    there.grow(other.store, more // 65536)
                there.write(other.store, data)
            if name.startswith("chiwawa:global:"):
                here, there = self.exports[name], other.exports[name]
                if here.type(self.store).mutable:
                    there.set_value(other.store, here.value(self.store))
