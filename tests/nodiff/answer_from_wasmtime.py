"""A process that runs calls in wasmtime: the oracle. One line of JSON in, one out.

A request has ``wasm`` (base64), ``start`` (whether only to instantiate) and ``calls``, pairs of an
export and its arguments (floats by their bits). Each call gets a fresh instance. ``adapter`` is a
module that has some of the imports, or nothing. The answer to each is ``[kind, detail, memories]``.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import struct
import sys
from collections.abc import Mapping
from typing import Any

import wasmtime

FUEL = 300_000
#: What is to be understood that is newer than Wasm 2.0, where it can be.
FEATURES = (
    "wasm_relaxed_simd",
    "wasm_relaxed_simd_deterministic",
    "wasm_tail_call",
    "wasm_memory64",
    "wasm_threads",
    "shared_memory",
    "wasm_function_references",
    "wasm_gc",
    "wasm_exceptions",
    "wasm_wide_arithmetic",
    "wasm_custom_page_sizes",
)


def config() -> wasmtime.Config:
    result = wasmtime.Config()
    result.consume_fuel = True
    result.cranelift_nan_canonicalization = True
    result.cranelift_opt_level = "none"
    result.max_wasm_stack = 1 << 20
    for name in FEATURES:
        with contextlib.suppress(AttributeError, wasmtime.WasmtimeError):
            setattr(result, name, True)
    return result


def to_bits(value: Any, kind: str) -> Any:
    if kind == "i32":
        return value & 0xFFFFFFFF
    if kind == "i64":
        return value & 0xFFFFFFFFFFFFFFFF
    if kind == "f32":
        return "nan" if value != value else struct.unpack("<I", struct.pack("<f", value))[0]
    if kind == "f64":
        return "nan" if value != value else struct.unpack("<Q", struct.pack("<d", value))[0]
    return None if value is None else "reference"


def from_bits(value: int, kind: str) -> Any:
    if kind == "i32":
        return (value ^ 0x80000000) - 0x80000000
    if kind == "i64":
        return (value ^ 1 << 63) - (1 << 63)
    if kind == "f32":
        return struct.unpack("<f", struct.pack("<I", value))[0]
    if kind == "f64":
        return struct.unpack("<d", struct.pack("<Q", value))[0]
    return None


#: Enough of a message to know a trap by: the spec suite's words for it.
KINDS = {
    "out of bounds memory access": "out of bounds memory access",
    # For wasmtime these two are one.
    "out of bounds table access": "out of bounds table access",
    "integer divide by zero": "integer divide by zero",
    "integer overflow": "integer overflow",
    "invalid conversion to integer": "invalid conversion to integer",
    "uninitialized element": "uninitialized element",
    "indirect call type mismatch": "indirect call type mismatch",
    "`unreachable` instruction": "unreachable",
    "call stack exhausted": "call stack exhausted",
    "unaligned atomic": "unaligned atomic",
    "null reference": "null reference",
    "null i31 reference": "null reference",
    "cast failure": "cast failure",
    "out of bounds array access": "out of bounds array access",
    "allocation size too large": "allocation size too large",
    "thrown Wasm exception": "uncaught exception",
    "all fuel consumed": "fuel",
}


def kind_of(error: Exception) -> str:
    text = str(error)
    for part, kind in KINDS.items():
        if part in text:
            return kind
    return text


def host(kinds: list[str], results: list[str], log: list[Any]) -> Any:
    """A function that logs what it is called with and answers from it (``generator_helpers``)."""

    def call(*args: Any) -> Any:
        bits = [to_bits(a, k) for a, k in zip(args, kinds, strict=True)]
        log.append(bits)
        total = sum(b if isinstance(b, int) else 7 for b in bits)
        values = [from_bits((total * 31 + i) & 0x7FFF, k) for i, k in enumerate(results)]
        return values[0] if len(values) == 1 else values or None

    return call


def imports_of(
    store: wasmtime.Store, module: wasmtime.Module, log: list[Any], adapted: Mapping[str, Any]
) -> list[Any]:
    """What ``module`` imports, by functions that log; ``adapted`` has some already."""
    imports: list[Any] = []
    for wanted in module.imports:
        if wanted.name in adapted:
            imports.append(adapted[wanted.name])
            continue
        functype = wanted.type
        if isinstance(functype, wasmtime.TagType):
            imports.append(wasmtime.Tag(store, functype))
            continue
        assert isinstance(functype, wasmtime.FuncType), "only functions and tags are imported"
        kinds, results = [str(p) for p in functype.params], [str(r) for r in functype.results]
        imports.append(wasmtime.Func(store, functype, host(kinds, results, log)))
    return imports


def run(
    engine: wasmtime.Engine,
    module: wasmtime.Module,
    adapter: wasmtime.Module | None,
    name: str | None,
    args: list[int],
) -> Any:
    store = wasmtime.Store(engine)
    store.set_fuel(FUEL)
    log: list[Any] = []
    adapted: Mapping[str, Any] = {}
    if adapter is not None:
        made = wasmtime.Instance(store, adapter, imports_of(store, adapter, log, {}))
        adapted = made.exports(store)
    imports = imports_of(store, module, log, adapted)
    instance = None
    try:
        instance = wasmtime.Instance(store, module, imports)
        kind, detail = "returned", []
        if name is not None:
            function = instance.exports(store)[name]
            assert isinstance(function, wasmtime.Func)
            functype = function.type(store)
            given = [from_bits(a, str(k)) for a, k in zip(args, functype.params, strict=True)]
            value = function(store, *given)
            values = value if isinstance(value, list | tuple) else [value]
            detail = [to_bits(v, str(k)) for v, k in zip(values, functype.results, strict=False)]
    except (wasmtime.Trap, wasmtime.WasmtimeError) as error:
        kind, detail = "trap", kind_of(error)
    memories: list[str] = []
    if instance is not None:
        for export in instance.exports(store).values():
            if isinstance(export, wasmtime.Memory):
                size = export.data_len(store)
                content = bytes(export.read(store, 0, size))
                memories.append(hashlib.sha256(content).hexdigest())
    return [kind, detail, memories, log]


def main() -> None:
    engine = wasmtime.Engine(config())
    for line in sys.stdin:
        request = json.loads(line)
        try:
            module = wasmtime.Module(engine, base64.b64decode(request["wasm"]))
            given = base64.b64decode(request["adapter"])
            adapter = wasmtime.Module(engine, given) if given else None
            answer = [run(engine, module, adapter, name, args) for name, args in request["calls"]]
        except Exception as error:  # Whatever it is, the other side must hear of it.
            answer = [["refused", f"{type(error).__name__}: {error}", [], []]]
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
