"""A module rewritten and compiled, or both taken from the user's cache.

What is kept of a module are its tables and the digest of what it was rewritten to; and of a
rewritten module, by its digest, the machine code that wasmtime has made of it.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from dataclasses import dataclass
from functools import lru_cache

import wasmtime

from chiwawa.binary.encode import write_section
from chiwawa.binary.names import write_name
from chiwawa.cache import Cache, key_of
from chiwawa.module import Module
from chiwawa.native import capi
from chiwawa.native.module import Rewritten, rewrite
from chiwawa.native.stacks import FOR_HOSTS, stack_size
from chiwawa.native.tables import Tables
from chiwawa_runtime.checkpoint.leb import encode_u
from chiwawa_runtime.errors import UnsupportedError

#: Smaller modules, in bytes, are rewritten and compiled as quickly as looked up.
SMALL = 1 << 13
_DIGEST = hashlib.sha256().digest_size


@dataclass(frozen=True, slots=True)
class How:
    """How a module is compiled."""

    canonical_nans: bool


@lru_cache(maxsize=4)
def compiler(how: How) -> wasmtime.Engine:
    """wasmtime, as all machines use it."""
    config = wasmtime.Config()
    config.wasm_multi_memory = True
    config.wasm_function_references = config.wasm_gc = True
    if capi.has_exceptions():
        config.wasm_exceptions = True
    config.cranelift_nan_canonicalization = how.canonical_nans
    for enable in (capi.branch_hinting_set, capi.wide_arithmetic_set, capi.custom_page_sizes_set):
        enable(capi.address(config.ptr()), True)
    room = stack_size() - FOR_HOSTS
    # In this order: no other stack of wasmtime's may be smaller.
    capi.async_stack_size_set(capi.address(config.ptr()), room)
    config.max_wasm_stack = room
    return wasmtime.Engine(config)


@dataclass(frozen=True)
class Compiled:
    """A module rewritten and compiled; all instances of it share it. ``name`` is what wasmtime says
    of frames that are of it."""

    engine: wasmtime.Engine
    module: wasmtime.Module
    tables: Tables
    name: str


def compiled(module: Module, cache: Cache, counting: int, canonical_nans: bool) -> Compiled:
    """Raises UnsupportedError."""
    key = ("native", counting, canonical_nans)
    return module.once(key, lambda: _compiled(module, cache, counting, canonical_nans))


def _compiled(module: Module, cache: Cache, counting: int, canonical_nans: bool) -> Compiled:
    how = How(canonical_nans)
    if len(module.binary) < SMALL:
        return fresh(rewrite(module, counting), how)
    key = key_of("rewritten", module.hash, str(counting))
    data = cache.read(key)
    if data is not None:
        code = kept_code(data[:_DIGEST], cache, how)
        if code is not None:
            digest = bytes(data[:_DIGEST])
            return Compiled(compiler(how), code, Tables(data[_DIGEST:]), name_of(digest))
    rewritten = rewrite(module, counting)
    digest = hashlib.sha256(rewritten.binary).digest()
    cache.keep(key, digest, rewritten.tables.data)
    return kept(rewritten, digest, cache, how)


def kept(rewritten: Rewritten, digest: bytes, cache: Cache, how: How) -> Compiled:
    """``rewritten``, whose bytes have the SHA-256 ``digest``, compiled now or before."""
    code = kept_code(digest, cache, how)
    if code is not None:
        return Compiled(compiler(how), code, rewritten.tables, name_of(digest))
    made = fresh(rewritten, how)
    if cache.folder is not None:
        cache.keep(_code_key(digest, how), memoryview(made.module.serialize()))
    return made


def fresh(rewritten: Rewritten, how: How) -> Compiled:
    """Raises UnsupportedError."""
    engine = compiler(how)
    name = name_of(hashlib.sha256(rewritten.binary).digest())
    written = write_name(name)
    named = write_name("name") + b"\0" + encode_u(len(written)) + written
    try:
        code = wasmtime.Module(engine, b"".join((rewritten.binary, write_section(0, named))))
    except wasmtime.WasmtimeError as error:
        said = " ".join(str(error).split())
        raise UnsupportedError(f"wasmtime cannot compile this module: {said}") from None
    return Compiled(engine, code, rewritten.tables, name)


def name_of(digest: bytes) -> str:
    """What a rewritten module with this SHA-256 is called in wasmtime."""
    return digest[:8].hex()


def kept_code(digest: bytes, cache: Cache, how: How) -> wasmtime.Module | None:
    """The machine code of the rewritten module with this SHA-256, if it has been kept."""

    def load(path: str) -> wasmtime.Module | None:
        try:
            return wasmtime.Module.deserialize_file(compiler(how), path)
        except wasmtime.WasmtimeError:
            # Of another processor, whose user has the same home.
            return None

    return cache.use(_code_key(digest, how), load)


def _code_key(digest: bytes, how: How) -> str:
    machine = (sys.platform, platform.machine(), str(stack_size()))
    # It takes no code but its own version's, but each version of it may find its own.
    library = str(os.path.getsize(capi.LIBRARY))
    return key_of("compiled", digest, str(how), library, *machine)
