"""What writer and reader of the checkpoint file share: names, numbers, and two rules.

The rules are which bytes of a memory are stored (``segments``), and which sizes a snapshot may
have (``check_shape``). The grammar, in the spec's notation (5.1.3), with ``custom(n)`` a custom
section named n; docs/checkpoint-format.md explains each byte::

    file      ::= header core coremodules coreinstances
                  memorysec? globalsec? datasec?
                  corestack chiwawa wasi? host? monitors? digest
    core      ::= custom("core")          0x00 name
    modules   ::= custom("coremodules")   vec(0x00 name)               the first, the same name
    instances ::= custom("coreinstances") vec(0x00 moduleidx vec(memaddr) vec(globaladdr))
    corestack ::= custom("corestack")     0x00 name vec(frame)                        "main"
    frame     ::= 0x00 instanceidx funcidx codeoffset:u32 vec(value) vec(value)
    value     ::= 0x7F s32 | 0x7E s64 | 0x7D byte^4 | 0x7C byte^8 | 0x01
    chiwawa   ::= custom("chiwawa")       1:u32 hash:byte^32 mode:byte count
                  plan:vec(call) unformed:vec(typed)
                  memories:vec(min:u64) globals:vec(mut:byte ref?) tables:vec(table)
                  elems:vec(bool) datas:vec(bool)
                | custom("chiwawa")       2:u32 modules:vec(hash:byte^32) vec(instance)
                  plan:vec(call) unformed:vec(typed)
                  memories:vec(min:u64) globals:vec(mut:byte ref?) tables:vec(table)
                  segments:vec(segment) objects:vec(object)
    instance  ::= mode:byte count links:vec(funcidx instanceidx funcidx)
                  tables:vec(tableaddr) tags:vec(tagaddr) elems:vec(bool) datas:vec(bool)
    count     ::= 0x00 | 0x01 safepoints:u64
    call      ::= funcidx vec(typed)
    typed     ::= 0x7F s32 | 0x7E s64 | 0x7D byte^4 | 0x7C byte^8 | 0x7B byte^16
                | 0x70 ref | 0x6F ref                                             version 1
                | 0x6E ref | 0x69 ref                                             version 2
    ref       ::= 0x00 | 0x01 funcidx | 0x02 name                                   version 1
                | 0x00 | 0x01 instanceidx funcidx | 0x02 name                       version 2
                | 0x03 s31 | 0x04 objidx
    segment   ::= instanceidx elemidx reftype vec(ref)
    object    ::= 0x00 deftype vec(field) | 0x01 deftype 0x78 vec(byte)
                | 0x01 deftype 0x77 vec(byte^2) | 0x01 deftype type vec(value of it)
                | 0x02 tagaddr vec(typed)
    deftype   ::= instanceidx typeidx
    field     ::= 0x78 byte | 0x77 byte^2 | typed
    table     ::= reftype limits vec(ref)
    wasi      ::= custom("chiwawa.wasi")  byte*
    host      ::= custom("chiwawa.host")  byte*
    monitors  ::= custom("chiwawa.monitors") byte*
    digest    ::= custom("chiwawa.digest") byte^32
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from chiwawa_runtime.errors import CheckpointError
from chiwawa_runtime.state.memory_image import Range
from chiwawa_runtime.state.snapshot import (
    I31,
    ArrayImage,
    ExceptionImage,
    ObjectImage,
    ObjIdx,
    Snapshot,
    Value,
)
from chiwawa_runtime.state.types import (
    ANYREF,
    EXNREF,
    EXTERNREF,
    F32,
    F64,
    FUNCREF,
    I32,
    I64,
    PAGE,
    V128,
    Limits,
    NumType,
    RefType,
    StorageType,
    ValType,
    VecType,
)

MAGIC = b"\0asm"
HEADER = MAGIC + b"\x01\0\0\0"
#: The versions of the format, which the state decides (see ``version_of``).
ALONE, LINKED = 1, 2
#: The types of references that each has.
REFERENCES = {
    ALONE: frozenset((FUNCREF, EXTERNREF)),
    LINKED: frozenset((FUNCREF, EXTERNREF, ANYREF, EXNREF)),
}
THREAD_NAME = "main"
GRANULARITIES = ("safepoint", "instruction")
#: The bits of the mode: which granularity, and whether NaNs are canonical.
FINE, CANONICAL_NANS = 1, 2
HASH_SIZE = 32

CUSTOM, MEMORY, GLOBAL, DATA = 0, 5, 6, 11
#: The sections in their order: an id and, for a custom section, a name; and whether it must be.
ORDER: tuple[tuple[int, str, bool], ...] = (
    (CUSTOM, "core", True),
    (CUSTOM, "coremodules", True),
    (CUSTOM, "coreinstances", True),
    (MEMORY, "memory", False),
    (GLOBAL, "global", False),
    (DATA, "data", False),
    (CUSTOM, "corestack", True),
    (CUSTOM, "chiwawa", True),
    (CUSTOM, "chiwawa.wasi", False),
    (CUSTOM, "chiwawa.host", False),
    (CUSTOM, "chiwawa.monitors", False),
    (CUSTOM, "chiwawa.digest", True),
)
#: The last section up to its contents, and its whole length.
DIGEST_PREFIX = b"\x00\x2f\x0echiwawa.digest"
DIGEST_SIZE = len(DIGEST_PREFIX) + HASH_SIZE

#: The constant instruction of a global's type (spec 5.4.7, 5.4.8).
CONST_OPCODES: dict[NumType | VecType, bytes] = {
    I32: b"\x41",
    I64: b"\x42",
    F32: b"\x43",
    F64: b"\x44",
    V128: b"\xfd\x0c",
}
#: A value that the convention has no form for; what it is stands in ``unformed``.
MISSING = 0x01
REF_NULL, REF_FUNC, REF_CARRIED, REF_I31, REF_OBJECT = 0x00, 0x01, 0x02, 0x03, 0x04
OBJECT_STRUCT, OBJECT_ARRAY, OBJECT_EXCEPTION = 0x00, 0x01, 0x02

MAX_U32 = 0xFFFFFFFF
MAX_U64 = 0xFFFFFFFFFFFFFFFF

#: Engines accept no module with more data segments.
MAX_SEGMENTS = 100_000
# A block of the rule has 2**12 bytes at least; one of 2**36 holds any memory.
_FINEST, _COARSEST = 12, 36


def segments(used: Sequence[Sequence[Range]]) -> list[tuple[int, int, int]]:
    """The stored parts of memories: (memory index, start, end), in order, none empty. ``used`` are
    the maximal runs of blocks of each memory that are not all zero, less the zeros at both ends of
    the run (``MemoryImage.used``).

    Stored are just those, of blocks that have 4096 bytes, or the least power of two above for which
    there are at most ``MAX_SEGMENTS`` runs. Raises CheckpointError where so many memories are used
    that there is no such block.
    """
    for shift in range(_FINEST, _COARSEST + 1):
        found = [
            (index, start, end)
            for index, runs in enumerate(used)
            for start, end in _joined(runs, shift)
        ]
        if len(found) <= MAX_SEGMENTS:
            return found
    raise CheckpointError("too many memories")


def _joined(runs: Sequence[Range], shift: int) -> Iterator[Range]:
    """The runs, where a block has ``2**shift`` bytes: those that were apart may be one now."""
    if not runs:
        return
    first, last = runs[0]
    for start, end in runs:
        if (start >> shift) - (last - 1 >> shift) > 1:
            yield first, last
            first = start
        last = end
    yield first, last


def version_of(snapshot: Snapshot) -> int:
    """The version of the format that a snapshot is written in: the least that can hold it."""
    special = any(m.type.shared or m.type.page != PAGE for m in snapshot.memories)
    if snapshot.others or snapshot.objects or special:
        return LINKED
    if snapshot.spaces is None:
        return ALONE
    types = [image.type.type for image in snapshot.globals]
    types += [each.type.element for each in snapshot.tables]
    types += [each.type for each in snapshot.segments]
    if any(map(is_newer, types)):
        return LINKED
    newer = any(is_newer(valtype) or type(value) is I31 for valtype, value in snapshot.values())
    return LINKED if newer else ALONE


def is_newer(valtype: ValType) -> bool:
    """Whether only version 2 has values of that type."""
    return isinstance(valtype, RefType) and valtype not in REFERENCES[ALONE]


def check_shape(snapshot: Snapshot) -> None:
    """Raise CheckpointError where a name, a hash, a count, a size or a number is not one that a
    program's state can have. Values are judged one by one, as they are written or read."""
    instances = snapshot.instances
    for each in instances:
        if len(each.module_hash) != HASH_SIZE:
            raise CheckpointError("the hash of the module is not 32 bytes")
        if each.granularity not in GRANULARITIES:
            raise CheckpointError(f"unknown granularity {each.granularity!r}")
        if each.safepoints is not None and not 0 <= each.safepoints <= MAX_U64:
            raise CheckpointError("the number of safepoints is out of range")
    _check_sizes(snapshot)
    if version_of(snapshot) != ALONE:
        _check_spaces(snapshot)
        _check_segments(snapshot)
        check_objects(snapshot)


def _check_spaces(snapshot: Snapshot) -> None:
    """That what instances have is there, all of it, numbered as it is first met."""
    spaces = [each.spaces for each in snapshot.instances]
    for what, addresses, count in (
        ("memories", [s.memories for s in spaces], len(snapshot.memories)),
        ("globals", [s.globals for s in spaces], len(snapshot.globals)),
        ("tables", [s.tables for s in spaces], len(snapshot.tables)),
        ("tags", [s.tags for s in spaces], None),
    ):
        met = 0
        for address in chain.from_iterable(addresses):
            if not 0 <= address <= met:
                raise CheckpointError(f"the {what} of its instances are not numbered in order")
            met += address == met
        if count is not None and met != count:
            raise CheckpointError(f"it has {what} that no instance has")
    for number, each in enumerate(spaces):
        last = -1
        for index, function in each.links:
            if not last < index or not 0 <= function.instance < len(spaces):
                raise CheckpointError(f"the links of instance {number} are not in order")
            if function.instance == number:
                raise CheckpointError(f"instance {number} is linked with itself")
            last = index


def _check_segments(snapshot: Snapshot) -> None:
    """That element segments that hold something are there, not dropped, and in order."""
    instances = snapshot.instances
    last = -1, -1
    for each in snapshot.segments:
        place = each.instance, each.index
        if not last < place or not 0 <= each.instance < len(instances):
            raise CheckpointError("its element segments are not in order")
        dropped = instances[each.instance].dropped_elems
        if not 0 <= each.index < len(dropped) or dropped[each.index]:
            raise CheckpointError(f"element segment {each.index}, dropped or not there, has values")
        last = place


def check_objects(snapshot: Snapshot) -> None:
    """That what is referred to by number is there, and numbered in the order of one walk: first
    what all values refer to, in their order, then what the objects do, in theirs. So nothing is
    there that nobody refers to."""
    met = 0
    objects = snapshot.objects

    def walk() -> Iterator[tuple[StorageType, Value]]:
        yield from snapshot.values()
        at = 0
        # What has not been met by now, nothing before it refers to.
        while at < met:
            yield from fields_of(objects[at])
            at += 1

    for valtype, value in walk():
        if isinstance(value, ObjIdx):
            if not 0 <= value.index <= met or value.index >= len(objects):
                raise CheckpointError(f"a value of type {valtype} refers to no object")
            met += value.index == met
    if met != len(objects):
        raise CheckpointError("it has objects that nothing refers to")
    tags = {tag for each in snapshot.instances for tag in each.spaces.tags}
    instances = len(snapshot.instances)
    for each in snapshot.objects:
        if isinstance(each, ExceptionImage):
            if each.tag not in tags:
                raise CheckpointError("an exception has a tag that no instance has")
        elif not 0 <= each.type.instance < instances:
            raise CheckpointError("an object has a type of an instance that is not there")


def fields_of(image: ObjectImage) -> Iterable[tuple[StorageType, Value]]:
    """The values in an object, in their order; of an array, those that may lead to objects."""
    if isinstance(image, ArrayImage):
        storage = image.storage
        if not isinstance(storage, RefType):
            return ()
        return ((storage, element) for element in image.elements)
    return image.fields


def _check_sizes(snapshot: Snapshot) -> None:
    for index, memory in enumerate(snapshot.memories):
        page = memory.type.page
        if page not in (1, PAGE):
            raise CheckpointError(f"memory {index}: invalid custom page size")
        if memory.size % page:
            raise CheckpointError(f"the size of memory {index} is not a multiple of the page")
        size = memory.size // page
        _check_limits(f"memory {index}", memory.type.limits, size, memory.type.most_pages)
    for index, table in enumerate(snapshot.tables):
        wide = table.type.limits.address == I64
        size = len(table.elements)
        _check_limits(f"table {index}", table.type.limits, size, MAX_U64 if wide else MAX_U32)


def _check_limits(what: str, limits: Limits, size: int, range_: int) -> None:
    """Spec 3.2.1, and that the present size lies within the limits."""
    if limits.max is not None and limits.min > limits.max:
        raise CheckpointError(f"{what}: size minimum must not be greater than maximum")
    if not 0 <= limits.min <= size:
        raise CheckpointError(f"{what}: its size {size} is below its declared minimum {limits.min}")
    if size > range_ or (limits.max is not None and limits.max > range_):
        raise CheckpointError(f"{what}: its size must be at most {range_}")
    if limits.max is not None and size > limits.max:
        raise CheckpointError(f"{what}: its size {size} is above its declared maximum {limits.max}")
