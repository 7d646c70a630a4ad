"""Snapshots for the tests of the checkpoint file: one with a bit of everything, and any."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from hypothesis import strategies as st

from chiwawa_runtime.state.memory_image import MemoryImage
from chiwawa_runtime.state.numerics import f32_from_bits, f64_from_bits
from chiwawa_runtime.state.snapshot import (
    I31,
    ArrayImage,
    Carried,
    ExceptionImage,
    Frame,
    FuncIdx,
    GlobalImage,
    IndexSpaces,
    InstanceImage,
    ObjIdx,
    PlannedCall,
    SegmentImage,
    Snapshot,
    StructImage,
    TableImage,
    TypeIdx,
)
from chiwawa_runtime.state.types import (
    ANYREF,
    EXTERNREF,
    F32,
    F64,
    FUNCREF,
    I8,
    I16,
    I32,
    I64,
    PAGE,
    V128,
    GlobalType,
    Limits,
    MemoryType,
    TableType,
)


def patched(pages: int, writes: dict[int, bytes]) -> bytearray:
    """A memory with ``writes`` at their addresses."""
    data = bytearray(pages * PAGE)
    for address, content in writes.items():
        data[address : address + len(content)] = content
    return data


def with_digest(body: bytes) -> bytes:
    """``body``, all but the last section, with a right digest."""
    return body + b"\x00\x2f\x0echiwawa.digest" + hashlib.sha256(body).digest()


def everything() -> Snapshot:
    """Each feature of the format, in small."""
    return Snapshot(
        module_name="prog",
        module_hash=bytes(range(32)),
        granularity="instruction",
        safepoints=123456,
        frames=(
            Frame(
                7,
                0x1234,
                (
                    (I32, 5),
                    (I32, 0xFFFFFFFF),
                    (I64, 1 << 63),
                    (F32, f32_from_bits(0xFFA00001)),
                    (F64, f64_from_bits(0x7FF0000000000001)),
                    (V128, (0x0123456789ABCDEF << 64).to_bytes(16, "little")),
                    (FUNCREF, FuncIdx(300)),
                    (EXTERNREF, Carried("lamp")),
                ),
                ((I32, 64), (I64, 63), (EXTERNREF, None)),
            ),
            Frame(3, 0, (), ()),
        ),
        plan=(PlannedCall(9, ((F64, -0.0), (FUNCREF, None))),),
        memories=(
            MemoryImage.of(
                MemoryType(Limits(1, 3)),
                patched(2, {4090: b"abc", 4096: b"\0d", 12288: b"\0e\0", 2 * PAGE - 1: b"\xff"}),
            ),
            MemoryImage.of(MemoryType(Limits(0)), patched(1, {0: b"x"})),
        ),
        globals=(
            GlobalImage(GlobalType(I32, True), 0x80000000),
            GlobalImage(GlobalType(I64, False), 7),
            GlobalImage(GlobalType(F32, True), 1.5),
            GlobalImage(GlobalType(F64, True), float("inf")),
            GlobalImage(GlobalType(V128, False), (1).to_bytes(16, "little")),
            GlobalImage(GlobalType(FUNCREF, True), FuncIdx(2)),
            GlobalImage(GlobalType(EXTERNREF, False), Carried("é")),
        ),
        tables=(
            TableImage(TableType(Limits(2, 10), FUNCREF), (None, FuncIdx(1), FuncIdx(128))),
            TableImage(TableType(Limits(0), EXTERNREF), ()),
        ),
        dropped_elems=(True, False),
        dropped_datas=(False,),
        wasi=b"wasi state",
        host=b"",
    )


def linked() -> Snapshot:
    """Three instances, two of them of one module, that share things, and objects of each kind."""
    return replace(
        everything(),
        frames=(
            Frame(2, 5, ((EXTERNREF, ObjIdx(1)),), ((FUNCREF, FuncIdx(1, 2)),), 1),
            *everything().frames,
            Frame(4, 0, ((EXTERNREF, ObjIdx(0)),), (), 2),
        ),
        spaces=IndexSpaces((0,), (0, 1, 2, 1), (0,), (0,), ((1, FuncIdx(2, 1)),)),
        others=(
            InstanceImage(
                "library",
                bytes(32),
                "safepoint",
                None,
                (),
                (True,),
                True,
                IndexSpaces((1, 0), (3, 0, 4), (1, 0), (1, 0)),
            ),
            InstanceImage(
                "prog",
                everything().module_hash,
                "instruction",
                0,
                (False,),
                (),
                False,
                IndexSpaces((), (5, 6), (), (), ((0, FuncIdx(0)), (3, FuncIdx(2, 1)))),
            ),
        ),
        objects=(
            ExceptionImage(1, ((I32, 7), (EXTERNREF, ObjIdx(0)), (EXTERNREF, ObjIdx(1)))),
            ExceptionImage(0, ((ANYREF, ObjIdx(2)),)),
            StructImage(
                TypeIdx(300, 1),
                (
                    (I8, 200),
                    (I16, 0xFFFE),
                    (I64, 1 << 63),
                    (ANYREF, ObjIdx(3)),
                    (EXTERNREF, I31(0x7FFFFFFF)),
                    (ANYREF, ObjIdx(2)),
                ),
            ),
            ArrayImage(TypeIdx(0), ANYREF, (ObjIdx(4), None, Carried("lamp"), ObjIdx(5), I31(64))),
            ArrayImage(TypeIdx(2, 2), I8, b"hello"),
            ArrayImage(TypeIdx(4), I16, (0, 0xFFFF, 300)),
        ),
        segments=(
            SegmentImage(0, 1, ANYREF, (I31(1 << 30), None, Carried("lamp"))),
            SegmentImage(2, 0, FUNCREF, (FuncIdx(3, 1),)),
        ),
    )


_U32 = st.integers(0, 2**32 - 1)
_REFS = st.one_of(
    st.none(), st.builds(FuncIdx, _U32, st.just(0)), st.builds(Carried, st.text(max_size=5))
)
_TYPED = {
    I32: _U32 | st.integers(0, 200),
    I64: st.integers(0, 2**64 - 1) | st.integers(0, 200),
    F32: _U32.map(f32_from_bits),
    F64: st.integers(0, 2**64 - 1).map(f64_from_bits),
    V128: st.binary(min_size=16, max_size=16),
    FUNCREF: _REFS,
    EXTERNREF: _REFS,
}
_VALUES = st.one_of([st.tuples(st.just(t), values) for t, values in _TYPED.items()])
_MANY = st.lists(_VALUES, max_size=6).map(tuple)
_FLAGS = st.lists(st.booleans(), max_size=4).map(tuple)


def _limits(size: int, range_: int) -> st.SearchStrategy[Limits]:
    """Limits that ``size`` lies within."""
    most = st.none() | st.integers(size, range_)
    return st.builds(Limits, st.integers(0, size), most, st.just(I32))


@st.composite
def _memory(draw: st.DrawFn) -> MemoryImage:
    pages = draw(st.integers(0, 3))
    # Near the edges of blocks, where the rule that cuts segments has its cases.
    near = st.builds(lambda block, by: max(0, block * 4096 + by), _BLOCKS, st.integers(-3, 3))
    writes = draw(st.dictionaries(near, st.binary(max_size=5), max_size=6)) if pages else {}
    data = patched(pages, writes)[: pages * PAGE]
    data.extend(bytes(pages * PAGE - len(data)))
    return MemoryImage.of(MemoryType(draw(_limits(pages, 65536))), data)


_BLOCKS = st.integers(0, 48)


@st.composite
def _table(draw: st.DrawFn) -> TableImage:
    elements = tuple(draw(st.lists(_REFS, max_size=5)))
    limits = draw(_limits(len(elements), 2**32 - 1))
    return TableImage(TableType(limits, draw(st.sampled_from((FUNCREF, EXTERNREF)))), elements)


def snapshots() -> st.SearchStrategy[Snapshot]:
    """Any snapshot that a file can hold."""
    return st.builds(
        Snapshot,
        module_name=st.text(max_size=8),
        module_hash=st.binary(min_size=32, max_size=32),
        granularity=st.sampled_from(("safepoint", "instruction")),
        safepoints=st.none() | st.integers(0, 2**64 - 1),
        frames=st.lists(st.builds(Frame, _U32, _U32, _MANY, _MANY, st.just(0)), max_size=4).map(
            tuple
        ),
        plan=st.lists(st.builds(PlannedCall, _U32, _MANY), max_size=2).map(tuple),
        memories=st.lists(_memory(), max_size=3).map(tuple),
        globals=st.lists(
            st.builds(
                lambda typed, mutable: GlobalImage(GlobalType(typed[0], mutable), typed[1]),
                _VALUES,
                st.booleans(),
            ),
            max_size=5,
        ).map(tuple),
        tables=st.lists(_table(), max_size=2).map(tuple),
        dropped_elems=_FLAGS,
        dropped_datas=_FLAGS,
        wasi=st.none() | st.binary(max_size=9),
        host=st.none() | st.binary(max_size=9),
        canonical_nans=st.booleans(),
        spaces=st.none(),
        others=st.just(()),
        objects=st.just(()),
        segments=st.just(()),
    )
