"""A snapshot to the bytes of a checkpoint file; ``layout`` has the grammar."""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from chiwawa_runtime.checkpoint.layout import (
    ALONE,
    CANONICAL_NANS,
    CONST_OPCODES,
    CUSTOM,
    DATA,
    DIGEST_PREFIX,
    FINE,
    GLOBAL,
    GRANULARITIES,
    HEADER,
    LINKED,
    MAX_U32,
    MEMORY,
    MISSING,
    OBJECT_ARRAY,
    OBJECT_EXCEPTION,
    OBJECT_STRUCT,
    REF_CARRIED,
    REF_FUNC,
    REF_I31,
    REF_NULL,
    REF_OBJECT,
    REFERENCES,
    THREAD_NAME,
    check_shape,
    segments,
    version_of,
)
from chiwawa_runtime.checkpoint.leb import encode_s, encode_u
from chiwawa_runtime.checkpoint.store_file import write_file
from chiwawa_runtime.errors import CheckpointError
from chiwawa_runtime.state.memory_image import MemoryImage
from chiwawa_runtime.state.numerics import f32_bits, f64_bits
from chiwawa_runtime.state.snapshot import (
    I31,
    ArrayImage,
    Carried,
    Frame,
    FuncIdx,
    GlobalImage,
    InstanceImage,
    ObjectImage,
    ObjIdx,
    SegmentImage,
    Snapshot,
    StructImage,
    TypeIdx,
    Value,
)
from chiwawa_runtime.state.types import (
    F32,
    F64,
    HEAP_CODES,
    I8,
    I32,
    I64,
    PAGE,
    V128,
    Limits,
    PackedType,
    RefType,
    StorageType,
    ValType,
)

#: Pieces of a file, in order.
_Parts = list[bytes | bytearray | memoryview]
_I32_SMALL = tuple(bytes((I32.code, i)) for i in range(64))
_NULL, _OBJECT = bytes((REF_NULL,)), bytes((REF_OBJECT,))
_I64_SMALL = tuple(bytes((I64.code, i)) for i in range(64))


def encode(snapshot: Snapshot) -> bytes:
    """The checkpoint file of ``snapshot``.

    i32 and i64 are unsigned ints or bools, v128 its 16 bytes, f32 and f64 floats, references
    ``Ref``. Raises CheckpointError for what the file cannot hold. The memories are not copied but
    for the result, and no view of them outlives the call.
    """
    try:
        with _encoded(snapshot) as parts:
            return b"".join(parts)
    except MemoryError as error:
        raise CheckpointError("not enough memory to write the checkpoint") from error


def save(path: str | os.PathLike[str], snapshot: Snapshot) -> None:
    """``write_file`` of ``encode``, without ever having the file's bytes in memory."""
    try:
        with _encoded(snapshot) as parts:
            write_file(path, parts)
    except MemoryError as error:
        raise CheckpointError("not enough memory to write the checkpoint") from error


@contextmanager
def _encoded(snapshot: Snapshot) -> Iterator[_Parts]:
    """The file's bytes, in pieces, of which some are views of memories."""
    check_shape(snapshot)
    name = _name(snapshot.module_name)
    instances = snapshot.instances
    # The distinct modules, by hash, in the order of the instances.
    modules = {each.module_hash: _name(each.module_name) for each in instances}
    unformed: list[tuple[ValType, Value]] = []
    stack = _corestack(snapshot.frames, len(instances), unformed)
    views = [memoryview(memory.source) for memory in snapshot.memories]
    parts: _Parts = [HEADER]
    try:
        parts += _custom("core", b"\0" + name)
        named = b"".join(b"\0" + each for each in modules.values())
        parts += _custom("coremodules", encode_u(len(modules)) + named)
        parts += _custom("coreinstances", _coreinstances(instances, list(modules)))
        if snapshot.memories:
            parts += _section(MEMORY, [_memories(snapshot)])
        if snapshot.globals:
            parts += _section(GLOBAL, [_globals(snapshot.globals, version_of(snapshot))])
        parts += _data(snapshot, views)
        parts += _custom("corestack", stack)
        parts += _custom("chiwawa", _chiwawa(snapshot, unformed))
        if snapshot.wasi is not None:
            parts += _custom("chiwawa.wasi", snapshot.wasi)
        if snapshot.host is not None:
            parts += _custom("chiwawa.host", snapshot.host)
        if snapshot.monitors is not None:
            parts += _custom("chiwawa.monitors", snapshot.monitors)
        digest = hashlib.sha256()
        for part in parts:
            digest.update(part)
        parts += (DIGEST_PREFIX, digest.digest())
        yield parts
    finally:
        # A view left in a traceback would keep the program's memory from growing.
        for part in parts:
            if isinstance(part, memoryview):
                part.release()
        for view in views:
            view.release()


# Sections.


def _section(id_: int, contents: Sequence[bytes | bytearray | memoryview]) -> _Parts:
    size = sum(map(len, contents))
    if size > MAX_U32:
        raise CheckpointError("the state is too large: a section has at most 4 GiB")
    return [bytes((id_,)) + encode_u(size), *contents]


def _custom(name: str, payload: bytes | bytearray) -> _Parts:
    return _section(CUSTOM, [_name(name), payload])


def _coreinstances(instances: Sequence[InstanceImage], modules: Sequence[bytes]) -> bytes:
    out = bytearray(encode_u(len(instances)))
    for each in instances:
        out += b"\0" + encode_u(modules.index(each.module_hash))
        out += _indices(each.spaces.memories) + _indices(each.spaces.globals)
    return bytes(out)


def _indices(addresses: Sequence[int]) -> bytes:
    return encode_u(len(addresses)) + b"".join(map(encode_u, addresses))


def _memories(snapshot: Snapshot) -> bytearray:
    out = bytearray(encode_u(len(snapshot.memories)))
    for memory in snapshot.memories:
        type_ = memory.type
        custom = type_.page != PAGE
        present = replace(type_.limits, min=memory.size // type_.page)
        out += _limits(present, type_.shared << 1 | custom << 3)
        if custom:
            out.append(type_.page.bit_length() - 1)
    return out


def _globals(globals_: Sequence[GlobalImage], version: int) -> bytearray:
    """Spec 5.5.9: all immutable, as the convention wants; the mutability stands in ``chiwawa``."""
    out = bytearray(encode_u(len(globals_)))
    for image in globals_:
        valtype = image.type.type
        out += bytes((_code(valtype, version), 0))
        if isinstance(valtype, RefType):
            out += bytes((0xD0, _code(valtype, version)))
        else:
            out += CONST_OPCODES[valtype]
            out += _payload(valtype, image.value)
        out.append(0x0B)
    return out


def _data(snapshot: Snapshot, views: Sequence[memoryview]) -> _Parts:
    found = segments([memory.used() for memory in snapshot.memories])
    if not found:
        return []
    parts: _Parts = [encode_u(len(found))]
    for index, start, end in found:
        head = bytearray(b"\x02" + encode_u(index) if index else b"\x00")
        if snapshot.memories[index].type.limits.address == I64:
            head += b"\x42" + encode_s(start)
        else:
            head += b"\x41" + encode_s(start - (1 << 32) if start >> 31 else start)
        head += b"\x0b" + encode_u(end - start)
        parts.append(head)
        parts += _piece(snapshot.memories[index], views[index], start, end)
    return _section(DATA, parts)


def _piece(image: MemoryImage, view: memoryview, start: int, end: int) -> _Parts:
    """The bytes of ``image`` from ``start`` to ``end``: what its runs hold, and zeros between."""
    parts: _Parts = []
    for low, high, at in image.between(start, end):
        if low > start:
            parts.append(bytes(low - start))
        part = view[at : at + high - low]
        if len(part) != high - low:
            part.release()
            raise CheckpointError("the program has gone on since it was stopped")
        parts.append(part)
        start = high
    if start < end:
        parts.append(bytes(end - start))
    return parts


def _corestack(
    frames: Sequence[Frame], instances: int, unformed: list[tuple[ValType, Value]]
) -> bytearray:
    """The frames; what they hold that the convention has no form for is added to ``unformed``."""
    out = bytearray(b"\0" + _name(THREAD_NAME) + encode_u(len(frames)))
    # A deep stack has many frames at few places.
    known: dict[tuple[int, int, int], bytes] = {}
    try:
        for function, offset, locals_, stack, instance in frames:
            head = known.get((function, offset, instance))
            if head is None:
                if not 0 <= instance < instances:
                    raise CheckpointError("a frame is of an instance that is not there")
                head = b"\0" + encode_u(instance) + _u32("a function index", function)
                head += _u32("a code offset", offset)
                known[function, offset, instance] = head
            out += head
            _values(out, locals_, unformed)
            _values(out, stack, unformed)
    except TypeError as error:
        raise CheckpointError("a frame holds a value that is not of its type") from error
    return out


def _values(
    out: bytearray,
    values: Sequence[tuple[ValType, Value]],
    unformed: list[tuple[ValType, Value]],
) -> None:
    if not values:
        out.append(0)
        return
    out += encode_u(len(values))
    for valtype, value in values:
        # Most values are small integers: this is the hot path of a deep stack.
        if valtype is I32 or valtype is I64:
            if 0 <= value < 64:  # type: ignore[operator]
                out += (_I32_SMALL if valtype is I32 else _I64_SMALL)[value]  # type: ignore[index]
            elif 64 <= value < 1 << 20:  # type: ignore[operator]
                out.append(valtype.code)
                out.append(value & 127 | 128)  # type: ignore[operator]
                if value >= 1 << 13:  # type: ignore[operator]
                    out.append(value >> 7 & 127 | 128)  # type: ignore[operator]
                    out.append(value >> 14)  # type: ignore[operator]
                else:
                    out.append(value >> 7)  # type: ignore[operator]
            else:
                out.append(valtype.code)
                out += _payload(valtype, value)
        elif isinstance(valtype, RefType) or valtype == V128:
            out.append(MISSING)
            unformed.append((valtype, value))
        else:
            out.append(valtype.code)
            out += _payload(valtype, value)


def _chiwawa(snapshot: Snapshot, unformed: Sequence[tuple[ValType, Value]]) -> bytearray:
    version = version_of(snapshot)
    instances = snapshot.instances
    out = bytearray(encode_u(version))
    if version == ALONE:
        out += snapshot.module_hash
        out += _mode_and_count(instances[0])
    else:
        modules = dict.fromkeys(each.module_hash for each in instances)
        out += encode_u(len(modules)) + b"".join(modules)
        out += encode_u(len(instances))
        for each in instances:
            out += _instance(each)
    out += encode_u(len(snapshot.plan))
    for call in snapshot.plan:
        out += _u32("a function index", call.function)
        out += _typed(call.args, version)
    out += _typed(unformed, version)
    out += encode_u(len(snapshot.memories))
    for memory in snapshot.memories:
        out += encode_u(memory.type.limits.min)
    out += encode_u(len(snapshot.globals))
    for image in snapshot.globals:
        out.append(image.type.mutable)
        if isinstance(image.type.type, RefType):
            out += _payload(image.type.type, image.value, version)
    out += encode_u(len(snapshot.tables))
    for table in snapshot.tables:
        out.append(_code(table.type.element, version))
        out += _limits(table.type.limits)
        out += encode_u(len(table.elements))
        element = table.type.element
        out += b"".join(
            [b"\0" if r is None else _payload(element, r, version) for r in table.elements]
        )
    if version == ALONE:
        out += _dropped(instances[0])
    else:
        out += encode_u(len(snapshot.segments))
        for segment in snapshot.segments:
            out += _segment(segment, version)
        out += encode_u(len(snapshot.objects))
        for image_ in snapshot.objects:
            out += _object(image_, version)
    return out


def _mode_and_count(instance: InstanceImage) -> bytes:
    fine = FINE * GRANULARITIES.index(instance.granularity)
    mode = bytes((fine | CANONICAL_NANS * instance.canonical_nans,))
    count = instance.safepoints
    return mode + (b"\0" if count is None else b"\x01" + encode_u(count))


def _dropped(instance: InstanceImage) -> bytes:
    flags = (instance.dropped_elems, instance.dropped_datas)
    return b"".join(encode_u(len(each)) + bytes(map(bool, each)) for each in flags)


def _instance(instance: InstanceImage) -> bytes:
    """What ``coreinstances`` does not say of it."""
    out = _mode_and_count(instance)
    links = instance.spaces.links
    out += encode_u(len(links))
    for index, function in links:
        out += _u32("a function index", index) + _function(function)
    out += _indices(instance.spaces.tables) + _indices(instance.spaces.tags)
    return out + _dropped(instance)


def _segment(segment: SegmentImage, version: int) -> bytes:
    out = encode_u(segment.instance) + encode_u(segment.index)
    out += bytes((_code(segment.type, version),)) + encode_u(len(segment.elements))
    return out + b"".join([_payload(segment.type, each, version) for each in segment.elements])


def object_bytes(image: ObjectImage) -> bytes:
    """An object as it stands in a file."""
    return bytes(_object(image, LINKED))


def _object(image: ObjectImage, version: int) -> bytes | bytearray:
    if isinstance(image, StructImage):
        out = bytearray((OBJECT_STRUCT,)) + _deftype(image.type) + encode_u(len(image.fields))
        for storage, value in image.fields:
            out.append(_code(storage, version))
            out += _stored(storage, value, version)
        return out
    if isinstance(image, ArrayImage):
        storage, elements = image.storage, image.elements
        out = bytearray((OBJECT_ARRAY,)) + _deftype(image.type)
        out.append(_code(storage, version))
        out += encode_u(len(elements))
        if storage == I8 and isinstance(elements, bytes):
            return out + elements
        return out + b"".join([_stored(storage, each, version) for each in elements])
    tag = bytes((OBJECT_EXCEPTION,)) + encode_u(image.tag)
    return tag + _typed(image.fields, version)


def _deftype(type_: TypeIdx) -> bytes:
    instance = _u32("the number of an instance", type_.instance)
    return instance + _u32("a type index", type_.index)


# Values.


def _typed(values: Sequence[tuple[ValType, Value]], version: int) -> bytearray:
    """A vector of values, each after its type."""
    out = bytearray(encode_u(len(values)))
    for valtype, value in values:
        out.append(_code(valtype, version))
        out += _payload(valtype, value, version)
    return out


def _code(valtype: StorageType, version: int) -> int:
    if not isinstance(valtype, RefType):
        return valtype.code
    if valtype not in REFERENCES[version]:
        raise CheckpointError(f"{valtype} is no type that checkpoints state")
    return HEAP_CODES[valtype.heap]  # type: ignore[index]


def _payload(valtype: ValType, value: Value, version: int = ALONE) -> bytes:
    """The bytes of a value, without its type."""
    if isinstance(valtype, RefType):
        return _ref(value, version)
    try:
        if valtype is I32 and type(value) is int and 0 <= value < 64:
            return encode_s(value)
        if valtype == F32:
            return f32_bits(value).to_bytes(4, "little")  # type: ignore[arg-type]
        if valtype == F64:
            return f64_bits(value).to_bytes(8, "little")  # type: ignore[arg-type]
        if valtype == V128:
            if not isinstance(value, bytes) or len(value) != 16:
                raise _misfit(valtype, value)
            return value
        if not isinstance(value, int) or not 0 <= value < 1 << valtype.bits:
            raise _misfit(valtype, value)
        return encode_s(value - (value >> valtype.bits - 1 << valtype.bits))
    except (TypeError, ValueError, ArithmeticError, struct.error) as error:
        raise _misfit(valtype, value) from error


def _stored(storage: StorageType, value: Value, version: int) -> bytes:
    """The bytes of what a field holds, without its type."""
    if not isinstance(storage, PackedType):
        return _payload(storage, value, version)
    if not isinstance(value, int) or not 0 <= value < 1 << storage.bits:
        raise _misfit(storage, value)
    return value.to_bytes(storage.bits // 8, "little")


def _ref(value: Value, version: int) -> bytes:
    if value is None:
        return _NULL
    if type(value) is ObjIdx and 0 <= value.index <= MAX_U32:
        return _OBJECT + encode_u(value.index)
    if isinstance(value, FuncIdx):
        if version == ALONE:
            return bytes((REF_FUNC,)) + _u32("a function index", value.index)
        return bytes((REF_FUNC,)) + _function(value)
    if isinstance(value, Carried):
        return bytes((REF_CARRIED,)) + _name(value.name)
    if isinstance(value, ObjIdx):
        return _OBJECT + _u32("the number of an object", value.index)
    if isinstance(value, I31):
        if not 0 <= value.value < 1 << 31:
            raise CheckpointError(f"{value.value} is no i31")
        return bytes((REF_I31,)) + encode_s(value.value - (value.value >> 30 << 31))
    raise CheckpointError(f"a reference to a host's {type(value).__name__} that is not carried")


def _function(function: FuncIdx) -> bytes:
    instance = _u32("the number of an instance", function.instance)
    return instance + _u32("a function index", function.index)


def _misfit(valtype: StorageType, value: object) -> CheckpointError:
    return CheckpointError(f"a value of Python type {type(value).__name__} is no {valtype}")


def _limits(limits: Limits, more: int = 0) -> bytes:
    """Spec 5.3.7, with bit 2 for 64-bit addresses."""
    flags = more | (limits.max is not None) | (limits.address == I64) << 2
    parts: Iterable[int] = (limits.min,) if limits.max is None else (limits.min, limits.max)
    return bytes((flags,)) + b"".join(map(encode_u, parts))


def _u32(what: str, value: int) -> bytes:
    if not 0 <= value <= MAX_U32:
        raise CheckpointError(f"{what} is out of range: {value}")
    return encode_u(value)


def _name(text: str) -> bytes:
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        raise CheckpointError(f"malformed UTF-8 encoding in the name {text!r}") from error
    return encode_u(len(data)) + data
