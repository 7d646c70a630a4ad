"""The bytes of a checkpoint file to a snapshot; ``layout`` has the grammar.

Reading fails closed: the digest first, then every rule of the grammar by itself, since whoever can
change a file can also make its digest anew. No count or size is believed before the bytes that it
speaks of have been seen to be there; of a memory, only those are kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace

from chiwawa_runtime.checkpoint.cursor import Cursor, malformed
from chiwawa_runtime.checkpoint.layout import (
    ALONE,
    CANONICAL_NANS,
    CONST_OPCODES,
    CUSTOM,
    DIGEST_PREFIX,
    DIGEST_SIZE,
    FINE,
    GRANULARITIES,
    HASH_SIZE,
    HEADER,
    LINKED,
    MAGIC,
    MAX_SEGMENTS,
    MISSING,
    OBJECT_ARRAY,
    OBJECT_EXCEPTION,
    OBJECT_STRUCT,
    ORDER,
    THREAD_NAME,
    check_shape,
    segments,
    version_of,
)
from chiwawa_runtime.collector import uncollected
from chiwawa_runtime.errors import CheckpointError
from chiwawa_runtime.state.memory_image import MemoryImage
from chiwawa_runtime.state.numerics import f64_load
from chiwawa_runtime.state.snapshot import (
    ArrayImage,
    ExceptionImage,
    Frame,
    FuncIdx,
    GlobalImage,
    IndexSpaces,
    InstanceImage,
    ObjectImage,
    PlannedCall,
    SegmentImage,
    Snapshot,
    StructImage,
    TableImage,
    Value,
)
from chiwawa_runtime.state.types import (
    F32,
    F64,
    I8,
    I32,
    I64,
    V128,
    GlobalType,
    MemoryType,
    NumType,
    RefType,
    TableType,
    ValType,
)

#: The values that the convention has a form for.
_NUMBERS: dict[int, NumType] = {t.code: t for t in (I32, I64, F32, F64)}
#: Integers of one byte that are not negative.
_SMALL: dict[int, list[tuple[ValType, Value]]] = {
    t.code: [(t, value) for value in range(64)] for t in (I32, I64)
}


def decode(data: bytes) -> Snapshot:
    """The snapshot that ``data`` is the checkpoint file of: ``encode(decode(data)) == data``.

    Values are as ``encode`` takes them; memories are images of parts of ``data``, so what this
    takes is in proportion to the file, whatever their sizes. Raises CheckpointError, and nothing
    else, for whatever is not such a file. Whether the snapshot fits a module is not judged here.
    """
    data = bytes(data)
    try:
        _check_digest(data)
        # A deep program has a hundred thousand frames.
        with uncollected():
            return _snapshot(data, _locate(data))
    except (MemoryError, OverflowError) as error:
        raise CheckpointError("not enough memory to read the checkpoint") from error


def sections(data: bytes) -> list[tuple[str, int]]:
    """The name and the length in bytes (with its own header) of each section of a checkpoint, in
    order. Raises CheckpointError where they are not a checkpoint's; contents are not read."""
    found = []
    pos = len(HEADER)
    for name, (_, end) in _locate(data).items():
        found.append((name, end - pos))
        pos = end
    return found


def _check_digest(data: bytes) -> None:
    if data[: len(MAGIC)] != MAGIC[: len(data)] or not data:
        raise CheckpointError("not a checkpoint: magic header not detected")
    if data[: len(HEADER)] != HEADER[: len(data)]:
        raise CheckpointError("not a checkpoint: unknown binary version")
    if data[-DIGEST_SIZE : len(data) - HASH_SIZE] != DIGEST_PREFIX:
        if b"\x04core" in data[:20]:
            raise CheckpointError(
                "damaged checkpoint, or another tool's core dump: its end is missing or has changed"
            )
        raise CheckpointError(
            "not a checkpoint but a module: it does not end in the section chiwawa.digest"
        )
    # A view: the digest of a large file takes no copy of it.
    with memoryview(data) as view, view[:-DIGEST_SIZE] as covered:
        digest = hashlib.sha256(covered).digest()
    if digest != data[-HASH_SIZE:]:
        raise CheckpointError("damaged checkpoint: its digest does not match its contents")


def _locate(data: bytes) -> dict[str, tuple[int, int]]:
    """Where the contents of each section lie (of a custom section, after its name)."""
    cursor = Cursor(data, 0, len(data))
    cursor.expect(HEADER, "the header of a binary module")
    found: dict[str, tuple[int, int]] = {}
    order = iter(ORDER)
    while cursor.pos < cursor.end:
        start = cursor.pos
        id_ = cursor.byte()
        size = cursor.u(32)
        end = cursor.skip(size) + size
        body = Cursor(data, end - size, end)
        name = body.name() if id_ == CUSTOM else None
        for expected_id, expected, required in order:
            if expected_id == id_ and name in (None, expected):
                found[expected] = (body.pos, end)
                break
            if required:
                raise malformed(f"section {expected} expected", start)
        else:
            raise malformed("unexpected content after last section", start)
    missing = next((name for _, name, required in order if required), None)
    if missing is not None:
        raise cursor.error(f"section {missing} expected")
    return found


def _snapshot(data: bytes, where: dict[str, tuple[int, int]]) -> Snapshot:
    def open_(section: str) -> Cursor:
        return Cursor(data, *where[section])

    # Or the last bytes, which look like the section of the digest, are only a part of it.
    if where["chiwawa.digest"][0] != len(data) - HASH_SIZE:
        raise malformed("section chiwawa.digest expected", len(data) - DIGEST_SIZE)
    cursor = open_("chiwawa")
    version = cursor.version = cursor.u(32)
    if version not in (ALONE, LINKED):
        raise CheckpointError(
            f"unsupported checkpoint: its format version is {version}, "
            f"this chiwawa reads versions {ALONE} and {LINKED}"
        )
    limits = _memories(open_("memory")) if "memory" in where else []
    globals_ = _globals(open_("global"), version) if "global" in where else []
    names = _modules(open_("core"), open_("coremodules"), version)
    placed = _coreinstances(open_("coreinstances"), len(names), version)

    # Of version 1, the segments of the one instance come last.
    hashes = [cursor.take(HASH_SIZE) for _ in range(1 if version == ALONE else cursor.count())]
    if len(set(hashes)) != len(names):
        raise cursor.error("not as many modules as in coremodules")
    if version == ALONE:
        modes = [(*_mode(cursor), cursor.u(64) if cursor.flag() else None)]
        told = []
    else:
        told = [_instance(cursor) for _ in range(cursor.count())]
        modes = [each[0] for each in told]
    if len(modes) != len(placed):
        raise cursor.error("not as many instances as in coreinstances")
    plan = tuple(PlannedCall(cursor.u(32), cursor.typed()) for _ in range(cursor.count()))
    unformed = cursor.typed()
    declared = _declared(cursor, limits)
    images = _global_images(cursor, globals_)
    tables = _tables(cursor)
    objects: tuple[ObjectImage, ...] = ()
    held: tuple[SegmentImage, ...] = ()
    if version == ALONE:
        told = [(modes[0], (), tuple(range(len(tables))), (), cursor.flags(), cursor.flags())]
    else:
        held = tuple([_segment(cursor) for _ in range(cursor.count())])
        objects = tuple([_object(cursor) for _ in range(cursor.count())])
    cursor.finish()

    instances = []
    for (module, memories, globals_of), each in zip(placed, told, strict=True):
        (granularity, canonical_nans, safepoints), links, tables_, tags, elems, datas = each
        spaces = IndexSpaces(memories, globals_of, tables_, tags, links)
        instances.append(
            InstanceImage(
                names[module],
                hashes[module],
                granularity,
                safepoints,
                elems,
                datas,
                canonical_nans,
                spaces,
            )
        )
    own = instances[0]
    if version == ALONE:
        for what, indices, count in (
            ("memories", own.spaces.memories, len(limits)),
            ("globals", own.spaces.globals, len(globals_)),
        ):
            if indices != tuple(range(count)):
                raise malformed(f"the instance has not all {what} in order", where["core"][0])
    start, end = where["corestack"]
    frames = _corestack(Cursor(data[start:end], 0, end - start, start), len(instances), unformed)
    stored = _segments(open_("data"), limits) if "data" in where else []
    snapshot = Snapshot(
        own.module_name,
        own.module_hash,
        own.granularity,
        own.safepoints,
        frames,
        plan,
        _images(data, declared, limits, stored),
        images,
        tables,
        own.dropped_elems,
        own.dropped_datas,
        data[slice(*where["chiwawa.wasi"])] if "chiwawa.wasi" in where else None,
        data[slice(*where["chiwawa.host"])] if "chiwawa.host" in where else None,
        data[slice(*where["chiwawa.monitors"])] if "chiwawa.monitors" in where else None,
        own.canonical_nans,
        None if version == ALONE else own.spaces,
        tuple(instances[1:]),
        objects,
        held,
    )
    if version != version_of(snapshot):
        raise malformed("its state takes no such version of the format", where["chiwawa"][0])
    check_shape(snapshot)
    used = [memory.used() for memory in snapshot.memories]
    if segments(used) != [(i, a, b) for i, a, b, _ in stored]:
        raise malformed("the data segments are not the canonical ones", where["data"][0])
    # Whoever restores or writes it again need not look for them.
    known = zip(snapshot.memories, used, strict=True)
    return replace(snapshot, memories=tuple([replace(m, known=tuple(u)) for m, u in known]))


def _mode(cursor: Cursor) -> tuple[str, bool]:
    """The granularity, and whether NaNs are canonical."""
    mode = cursor.byte()
    if mode & ~(FINE | CANONICAL_NANS):
        cursor.pos -= 1
        raise cursor.error(f"unknown mode 0x{mode:02x}")
    return GRANULARITIES[mode & FINE], bool(mode & CANONICAL_NANS)


#: Granularity, whether NaNs are canonical, and how many safepoints have been passed.
_Mode = tuple[str, bool, int | None]
_Links = tuple[tuple[int, FuncIdx], ...]
_Flags = tuple[bool, ...]


def _instance(
    cursor: Cursor,
) -> tuple[_Mode, _Links, tuple[int, ...], tuple[int, ...], _Flags, _Flags]:
    """What ``coreinstances`` does not say of an instance: mode, links, tables, tags, and which
    segments are dropped."""
    mode = (*_mode(cursor), cursor.u(64) if cursor.flag() else None)
    links = tuple([(cursor.u(32), cursor.function()) for _ in range(cursor.count())])
    return mode, links, cursor.indices(), cursor.indices(), cursor.flags(), cursor.flags()


def _segment(cursor: Cursor) -> SegmentImage:
    instance, index, reftype = cursor.u(32), cursor.u(32), cursor.reftype()
    return SegmentImage(
        instance, index, reftype, tuple([cursor.ref() for _ in range(cursor.count())])
    )


def _object(cursor: Cursor) -> ObjectImage:
    kind = cursor.byte()
    if kind == OBJECT_STRUCT:
        return StructImage(cursor.deftype(), cursor.fields())
    if kind == OBJECT_ARRAY:
        return _array(cursor)
    if kind == OBJECT_EXCEPTION:
        return ExceptionImage(cursor.u(32), cursor.typed())
    cursor.pos -= 1
    raise cursor.error("the kind of an object expected")


def _array(cursor: Cursor) -> ArrayImage:
    deftype, storage = cursor.deftype(), cursor.storagetype()
    count = cursor.count()
    if storage == I8:
        return ArrayImage(deftype, storage, cursor.take(count))
    return ArrayImage(deftype, storage, tuple([cursor.stored(storage) for _ in range(count)]))


def _modules(core: Cursor, modules: Cursor, version: int) -> list[str]:
    """The names of the modules. That of the run's is in two sections."""
    core.expect(b"\0", "process information")
    name = core.name()
    core.finish()
    names = []
    for _ in range(_vector(modules, "module", version)):
        modules.expect(b"\0", "a module")
        names.append(modules.name())
    if names[0] != name:
        raise modules.error("the module's name is not the process's")
    modules.finish()
    return names


def _coreinstances(
    cursor: Cursor, modules: int, version: int
) -> list[tuple[int, tuple[int, ...], tuple[int, ...]]]:
    """Of each instance its module, memories and globals. Modules are numbered as they are met."""
    placed = []
    met = 0
    for _ in range(_vector(cursor, "instance", version)):
        cursor.expect(b"\0", "an instance")
        module = cursor.u(32)
        if module > met or module >= modules:
            raise cursor.error("the modules are not numbered in order")
        met += module == met
        placed.append((module, cursor.indices(), cursor.indices()))
    if met != modules:
        raise cursor.error("an instance of each module expected")
    cursor.finish()
    return placed


def _vector(cursor: Cursor, what: str, version: int) -> int:
    """The length of a vector that is not empty; one element has it, where there is one instance."""
    if version == ALONE:
        cursor.expect(b"\x01", f"one {what}")
        return 1
    count = cursor.count()
    if not count:
        raise cursor.error(f"a {what} expected")
    return count


def _memories(cursor: Cursor) -> list[MemoryType]:
    """The present size as minimum, and the declared maximum."""
    found = [cursor.memorytype() for _ in range(_some(cursor))]
    cursor.finish()
    return found


def _some(cursor: Cursor) -> int:
    """The length of a vector that is left out, with its section, where it is empty."""
    count = cursor.count()
    if not count:
        raise cursor.error("an empty section")
    return count


def _globals(cursor: Cursor, version: int) -> list[tuple[ValType, int | float | bytes]]:
    """Types and values; of a reference, 0, for its value stands in ``chiwawa``."""
    cursor.version = version
    found: list[tuple[ValType, int | float | bytes]] = []
    for _ in range(_some(cursor)):
        valtype = cursor.valtype()
        cursor.expect(b"\0", "an immutable global")
        value: int | float | bytes = 0
        if isinstance(valtype, RefType):
            cursor.expect(bytes((0xD0, cursor.data[cursor.pos - 2])), "ref.null of its type")
        else:
            cursor.expect(CONST_OPCODES[valtype], "a constant of its type")
            value = cursor.number(valtype)
        cursor.expect(b"\x0b", "END opcode")
        found.append((valtype, value))
    cursor.finish()
    return found


def _declared(cursor: Cursor, types: list[MemoryType]) -> list[MemoryType]:
    if cursor.count() != len(types):
        raise cursor.error("not as many memories as in the memory section")
    return [replace(each, limits=replace(each.limits, min=cursor.u(64))) for each in types]


def _global_images(
    cursor: Cursor, globals_: list[tuple[ValType, int | float | bytes]]
) -> tuple[GlobalImage, ...]:
    if cursor.count() != len(globals_):
        raise cursor.error("not as many globals as in the global section")
    found = []
    for valtype, number in globals_:
        type_ = GlobalType(valtype, cursor.flag())
        found.append(GlobalImage(type_, cursor.ref() if isinstance(valtype, RefType) else number))
    return tuple(found)


def _tables(cursor: Cursor) -> tuple[TableImage, ...]:
    found = []
    for _ in range(cursor.count()):
        element = cursor.reftype()
        limits = cursor.limits()
        elements = tuple([cursor.ref() for _ in range(cursor.count())])
        found.append(TableImage(TableType(limits, element), elements))
    return tuple(found)


# Memories.


def _segments(cursor: Cursor, types: list[MemoryType]) -> list[tuple[int, int, int, int]]:
    """Spec 5.5.14: (memory, start, end, where its bytes are in the file), in order and apart."""
    found = []
    count = _some(cursor)
    if count > MAX_SEGMENTS:
        raise cursor.error("too many data segments")
    last = (0, 0)
    for _ in range(count):
        flag = cursor.byte()
        index = cursor.u(32) if flag == 2 else 0
        if flag != (2 if index else 0) or index >= len(types):
            raise cursor.error("an active data segment of a memory expected")
        wide = types[index].limits.address == I64
        cursor.expect(b"\x42" if wide else b"\x41", "a constant offset")
        start = cursor.s(64 if wide else 32) & (0xFFFFFFFFFFFFFFFF if wide else 0xFFFFFFFF)
        cursor.expect(b"\x0b", "END opcode")
        size = cursor.u(32)
        at = cursor.skip(size)
        if (index, start) < last or start + size > types[index].limits.min * types[index].page:
            raise cursor.error("a data segment lies outside of its memory or its order")
        last = (index, start + size)
        found.append((index, start, start + size, at))
    cursor.finish()
    return found


def _images(
    data: bytes,
    declared: list[MemoryType],
    types: list[MemoryType],
    stored: list[tuple[int, int, int, int]],
) -> tuple[MemoryImage, ...]:
    runs: list[list[tuple[int, int, int]]] = [[] for _ in types]
    for index, start, end, at in stored:
        runs[index].append((start, end, at))
    return tuple(
        MemoryImage(type_, present.limits.min * present.page, data, tuple(runs[index]))
        for index, (type_, present) in enumerate(zip(declared, types, strict=True))
    )


# Frames.


def _corestack(
    cursor: Cursor, instances: int, unformed: tuple[tuple[ValType, Value], ...]
) -> tuple[Frame, ...]:
    """The frames, with ``unformed`` where the convention's form has a gap."""
    cursor.expect(b"\0", "thread information")
    if cursor.name() != THREAD_NAME:
        raise cursor.error(f"the thread {THREAD_NAME} expected")
    for valtype, _ in unformed:
        if not isinstance(valtype, RefType) and valtype != V128:
            raise cursor.error(f"a value of type {valtype} stands apart from its frame")
    rest = iter(unformed)
    frames = []
    data = cursor.data
    # A deep stack has many frames that begin alike. No such beginning is one of another.
    known: dict[bytes, tuple[int, int, int]] = {}
    sizes: list[int] = []
    for _ in range(cursor.count()):
        pos = cursor.pos
        for size in sizes:
            place = known.get(data[pos : pos + size])
            if place is not None:
                cursor.pos = pos + size
                break
        else:
            cursor.expect(b"\0", "a frame")
            instance = cursor.u(32)
            if instance >= instances:
                raise cursor.error("a frame is of an instance that is not there")
            place = cursor.u(32), cursor.u(32), instance
            head = data[pos : cursor.pos]
            known[head] = place
            if len(head) not in sizes:
                sizes.append(len(head))
        locals_ = _values(cursor, rest)
        frames.append(Frame(place[0], place[1], locals_, _values(cursor, rest), place[2]))
    cursor.finish()
    if next(rest, None) is not None:
        raise cursor.error("more values stand apart from the frames than they have gaps")
    return tuple(frames)


def _values(
    cursor: Cursor, rest: Iterator[tuple[ValType, Value]]
) -> tuple[tuple[ValType, Value], ...]:
    data = cursor.data
    pos = cursor.pos
    if pos < cursor.end and not data[pos]:
        cursor.pos = pos + 1
        return ()
    found: list[tuple[ValType, Value]] = []
    count = cursor.count()
    pos = cursor.pos
    # This is the hot path of a deep stack: an integer or an f64 that lies well within the section
    # is read here. The cursor reads all else, and says what is wrong.
    safe = cursor.end - 11
    for _ in range(count):
        code = data[pos] if pos < safe else MISSING
        if code == 0x7F or code == 0x7E:
            byte = data[pos + 1]
            if byte < 64:
                found.append(_SMALL[code][byte])
                pos += 2
                continue
            if byte > 127:
                second = data[pos + 2]
                if second > 127:
                    third = data[pos + 3]
                    if third < 64 and (third or second & 64):
                        value = byte & 127 | (second & 127) << 7 | third << 14
                        found.append((_NUMBERS[code], value))
                        pos += 4
                        continue
                elif second < 64 and (second or byte & 64):
                    found.append((_NUMBERS[code], byte & 127 | second << 7))
                    pos += 3
                    continue
            value = byte & 127
            at = pos + 2
            shift = 7
            while byte > 127 and shift < 70:
                byte = data[at]
                value |= (byte & 127) << shift
                at += 1
                shift += 7
            if byte & 64:
                value -= 1 << shift
            short = 1 << shift - 8 if shift > 7 else 0
            if byte < 128 and not -short <= value < short:
                if code == 0x7E:
                    if -0x8000000000000000 <= value < 0x8000000000000000:
                        found.append((I64, value & 0xFFFFFFFFFFFFFFFF))
                        pos = at
                        continue
                elif -0x80000000 <= value < 0x80000000:
                    found.append((I32, value & 0xFFFFFFFF))
                    pos = at
                    continue
        elif code == 0x7C:
            found.append((F64, f64_load(data, pos + 1)[0]))
            pos += 9
            continue
        cursor.pos = pos
        code = cursor.byte()
        if code == MISSING:
            apart = next(rest, None)
            if apart is None:
                raise cursor.error("more gaps in the frames than values that stand apart")
            found.append(apart)
        elif code in _NUMBERS:
            found.append((_NUMBERS[code], cursor.number(_NUMBERS[code])))
        else:
            raise malformed("malformed value", cursor.base + pos)
        pos = cursor.pos
    cursor.pos = pos
    return tuple(found)
