"""Where checkpoints differ."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

import chiwawa
from chiwawa.commands.diff import GAP, MOST_RANGES, compare, differing_ranges, render
from chiwawa.source import load
from chiwawa_runtime.errors import CheckpointError
from chiwawa_runtime.state.memory_image import MemoryImage
from chiwawa_runtime.state.numerics import f64_from_bits
from chiwawa_runtime.state.snapshot import (
    ArrayImage,
    Carried,
    Frame,
    FuncIdx,
    GlobalImage,
    PlannedCall,
    Snapshot,
    StructImage,
    TypeIdx,
)
from chiwawa_runtime.state.types import (
    EXTERNREF,
    F64,
    FUNCREF,
    I8,
    I32,
    PAGE,
    GlobalType,
    Limits,
    MemoryType,
)
from tests.unit.checkpoint.snapshot_helpers import linked
from tests.unit.stopped_program_helpers import MODULE, stopped


def elsewhere() -> Snapshot:
    """What ``stopped`` is a while later: something of everything is different."""
    first = stopped()
    (image,) = first.memories
    memory = bytearray(image.read(0, image.size)) + bytearray(PAGE)
    memory[4:6] = b"HE"
    memory[0x1234:0x1280] = bytes(range(1, 0x4D))
    youngest, oldest = first.frames
    locals_ = (youngest.locals[0], (I32, 7), (F64, f64_from_bits(0xFFF8000000000002)))
    return dataclasses.replace(
        first,
        granularity="instruction",
        safepoints=None,
        frames=(
            Frame(2, 0x03, (), ()),
            youngest._replace(offset=0x09, locals=locals_, stack=((I32, 3),)),
            oldest,
        ),
        plan=(PlannedCall(2, ()), PlannedCall(0, ((I32, 6), (EXTERNREF, Carried("lamp"))))),
        memories=(MemoryImage.of(image.type, memory),),
        globals=(first.globals[0], GlobalImage(GlobalType(F64, False), -0.0)),
        tables=(
            dataclasses.replace(first.tables[0], elements=(None, None, FuncIdx(2), FuncIdx(0))),
        ),
        dropped_elems=(False,),
        wasi=b"54321",
        host=None,
        monitors=b"123",
    )


def test_differences_with_the_module(golden: Callable[[str, str], None]) -> None:
    difference = compare(stopped(), elsewhere(), MODULE)
    golden("diff_with_module.txt", render(difference, "one.bin", "two.bin"))


def test_differences_without_the_module(golden: Callable[[str, str], None]) -> None:
    difference = compare(stopped(), elsewhere())
    golden("diff_without_module.txt", render(difference, "one.bin", "two.bin"))


def test_differences_are_json(golden: Callable[[str, str], None]) -> None:
    text = json.dumps(compare(stopped(), elsewhere(), MODULE), indent=2)
    golden("diff.json", text + "\n")


def test_equal_snapshots_do_not_differ() -> None:
    difference = compare(stopped(), stopped(), MODULE)
    assert difference.pop("equal") is True
    assert not any(difference.values())
    assert render(compare(stopped(), stopped()), "a", "b") == ""


def test_values_are_compared_by_their_bits() -> None:
    zero, minus = (
        dataclasses.replace(stopped(), globals=(GlobalImage(GlobalType(F64, True), value),))
        for value in (0.0, -0.0)
    )
    assert compare(zero, zero)["equal"]
    assert compare(zero, minus)["globals"] == [
        {
            "index": 0,
            "name": None,
            "a": {"mutable": True, "value": "F64(0.0)"},
            "b": {"mutable": True, "value": "F64(-0.0)"},
        }
    ]


def test_frames_are_matched_from_the_oldest() -> None:
    deeper = dataclasses.replace(stopped(), frames=(Frame(1, 0, (), ()), *stopped().frames))
    difference = compare(stopped(), deeper, MODULE)
    assert [frame["depth"] for frame in difference["frames"]] == [2]
    assert difference["frames"][0]["a"] is None


def test_snapshots_of_two_modules_differ() -> None:
    other = dataclasses.replace(stopped(), module_hash=bytes(32), module_name="a\x1b[31m")
    assert "\x1b" not in render(compare(stopped(), other), "a", "b")
    with pytest.raises(CheckpointError, match="of another module"):
        compare(stopped(), other, MODULE)
    with pytest.raises(CheckpointError, match="of another module"):
        compare(stopped(), stopped(), load("(module)"))


def test_things_that_one_side_lacks_are_differences() -> None:
    bare = dataclasses.replace(
        stopped(),
        frames=(),
        plan=(),
        memories=(),
        tables=(),
        globals=(),
        dropped_elems=(),
        wasi=None,
    )
    text = render(compare(stopped(), bare), "a", "b")
    assert "  0: 0 bytes differ, size 131072 bytes (minimum 1, maximum 4) | -\n" in text
    assert "  0: size 3 of funcref (minimum 3) | -\n" in text
    assert "different wasi state: 5 bytes | none\n" in text
    assert render(compare(bare, stopped()), "b", "a")


def image(data: bytes | bytearray) -> MemoryImage:
    return MemoryImage.of(MemoryType(Limits(0)), data)


@given(st.binary(max_size=200), st.integers(0, 3), st.data())
def test_a_changed_byte_is_found_at_its_place(
    content: bytes, where: int, data: st.DataObject
) -> None:
    # Beside and across the borders of the pieces that are compared.
    content = bytes(where * ((1 << 14) - 100)) + content
    assert list(differing_ranges(image(content), image(content))) == []
    assert list(differing_ranges(image(content), image(content + b"more"))) == []
    if not content:
        return
    places = data.draw(st.sets(st.integers(0, len(content) - 1), max_size=5))
    changed = bytearray(content)
    for place in places:
        changed[place] ^= data.draw(st.integers(1, 255))
    found = list(differing_ranges(image(content), image(changed)))
    covered = {i for start, end, _ in found for i in range(start, end)}
    assert places <= covered
    assert sum(count for _, _, count in found) == len(places)
    for start, end, _ in found:
        assert start in places
        assert end - 1 in places
    for (_, end, _), (start, _, _) in itertools.pairwise(found):
        assert start - end >= GAP


def test_one_byte_in_a_hundred_million_is_found() -> None:
    size = 100 << 20
    a, b = bytearray(size), bytearray(size)
    b[size - 3] = 1
    assert list(differing_ranges(image(a), image(b))) == [(size - 3, size - 2, 1)]


def test_of_very_many_ranges_the_rest_is_counted() -> None:
    memory = stopped().memories[0]
    a = bytearray((MOST_RANGES + 5) * 2 * GAP)
    b = bytearray(a)
    b[:: 2 * GAP] = b"\1" * (MOST_RANGES + 5)
    first, second = (
        dataclasses.replace(stopped(), memories=(MemoryImage.of(memory.type, data),))
        for data in (a, b)
    )
    found = compare(first, second)["memories"][0]
    assert len(found["ranges"]) == MOST_RANGES
    assert found["more_ranges"] == 5
    assert found["differing_bytes"] == MOST_RANGES + 5
    text = render(compare(first, second), "a", "b")
    assert "and 5 ranges more" in text
    assert text.count("\n") < 50


def test_a_reference_to_a_function_is_told_from_another() -> None:
    table = stopped().tables[0]
    other = dataclasses.replace(table, elements=(None, FuncIdx(2), None))
    found = compare(stopped(), dataclasses.replace(stopped(), tables=(other,)))["tables"]
    assert found[0]["elements"] == [{"index": 1, "a": "REF(func 1)", "b": "REF(func 2)"}]
    assert table.type.element == FUNCREF


def test_instances_that_are_linked_and_differ_are_said() -> None:
    first = linked()
    library, again = first.others
    other = dataclasses.replace(first, others=(dataclasses.replace(library, safepoints=7), again))
    difference = compare(first, other)
    assert not difference["equal"]
    assert "linked instances: " in render(difference, "a", "b")
    assert "library, 7 passed" in render(difference, "a", "b")
    assert compare(first, first)["equal"]


#: At each call of ``tick`` something is new: a structure before all others, and one in a ring.
GROWING = load("""(module
  (import "env" "tick" (func $tick))
  (type $node (struct (field $value (mut i32)) (field $next (mut (ref null $node)))))
  (type $row (array (mut anyref)))
  (global $first (mut (ref null $node)) (ref.null $node))
  (global $ring (mut (ref null $node)) (ref.null $node))
  (table $t 2 anyref)
  (func $ring (param $n i32) (local $l (ref null $node))
    (global.set $ring (local.tee $l (struct.new $node (i32.const 0) (ref.null $node))))
    (loop $more
      (struct.set $node $next (local.get $l)
        (local.tee $l (struct.new $node (local.get $n) (ref.null $node))))
      (br_if $more (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (struct.set $node $next (local.get $l) (global.get $ring)))
  (func (export "run") (local $row (ref null $row))
    (call $ring (i32.const 9))
    (local.set $row (array.new $row (global.get $ring) (i32.const 3)))
    (table.set $t (i32.const 1) (local.get $row))
    (call $tick)
    (global.set $first (struct.new $node (i32.const 77) (global.get $ring)))
    (call $tick)
    (struct.set $node $next (global.get $ring)
      (struct.new $node (i32.const 55) (struct.get $node $next (global.get $ring))))
    (array.set $row (local.get $row) (i32.const 1) (global.get $first))
    (call $tick)
    (nop)))""")


def grown() -> list[Snapshot]:
    """The program at each call."""
    imports = {"env": {"tick": lambda: run.requests.ask()}}
    run = chiwawa.start(GROWING, "run", imports=imports, granularity="instruction")
    snapshots = []
    while not run.go():
        run.requests.take()
        snapshots.append(run.snapshot())
    return snapshots


def test_objects_are_matched_by_what_leads_to_them_and_not_by_number() -> None:
    before, more, other = grown()
    difference = compare(before, more, GROWING)
    (new,) = difference["objects"]
    assert new["number"] == {"a": None, "b": 0}
    assert [each["index"] for each in difference["globals"]] == [0]
    assert difference["tables"] == []
    (frame,) = difference["frames"]
    assert (frame["locals"], frame["stack"]) == ([], [])
    text = render(difference, "a", "b")
    assert "  $first: mutable REF(null any) | mutable REF(any object 0)\n" in text
    assert "  - | 0: - | struct of type $node: $value=I32(77) $next=REF(any object 1)\n" in text
    # One that is put between others has the place of the one behind it, and so have all behind it.
    changed = compare(more, other, GROWING)["objects"]
    row = next(each for each in changed if each["a"] and each["a"]["kind"] == "array")
    assert row["values"] == [
        {"index": 1, "a": "REF(any object 1)", "b": "REF(any object 0)"},
    ]


def test_objects_that_cannot_be_the_same_are_listed_beside_each_other() -> None:
    first = linked()
    assert not compare(first, first)["objects"]
    struct, _, string = first.objects[2:5]
    assert isinstance(struct, StructImage)
    assert isinstance(string, ArrayImage)
    second = dataclasses.replace(
        first,
        objects=(
            *first.objects[:2],
            dataclasses.replace(struct, fields=((I8, 199), *struct.fields[1:])),
            first.objects[1],
            dataclasses.replace(string, elements=b"hallo!"),
        ),
        segments=first.segments[1:],
    )
    difference = compare(first, second)
    assert not difference["equal"]
    # What leads to number 3 is of another type.
    assert [tuple(each["number"].values()) for each in difference["objects"]] == [
        (2, 2),
        (3, None),
        (4, 4),
        (5, None),
        (None, 3),
    ]
    text = render(difference, "a", "b")
    assert "  2: struct of type 300 of instance 1:\n    0: I8(-56) | I8(-57)\n" in text
    assert "  3 | -: array of type 0, 5 anyref: REF(any object 4)" in text
    assert "  - | 3: - | " in text
    assert "    1: I8(101) | I8(97)\n    5: - | I8(33)\n" in text
    assert "  5 | -: array of type 4, 3 i16: I16(0) I16(-1) I16(300) | -\n" in text
    assert "  #1  0 of instance 2: REF(func 3 of instance 1) | -\n" in text


def test_floats_in_objects_are_compared_by_their_bits() -> None:
    def with_float(value: float) -> Snapshot:
        return dataclasses.replace(linked(), objects=(StructImage(TypeIdx(0), ((F64, value),)),))

    nan = f64_from_bits(0x7FF8000000000001)
    assert compare(with_float(nan), with_float(f64_from_bits(0x7FF8000000000001)))["equal"]
    assert not compare(with_float(0.0), with_float(-0.0))["equal"]
