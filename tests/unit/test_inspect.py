"""Listings of checkpoints."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

import pytest

from chiwawa.inspect import describe, render
from chiwawa.source import load
from chiwawa_runtime.checkpoint import decode, encode
from chiwawa_runtime.errors import CheckpointError
from chiwawa_runtime.state.snapshot import ArrayImage, Frame, StructImage, TypeIdx
from chiwawa_runtime.state.types import F64, I8, I32
from tests.unit.checkpoint.snapshot_helpers import linked
from tests.unit.stopped_program_helpers import MODULE, stopped


def test_a_listing_with_the_module(golden: Callable[[str, str], None]) -> None:
    data = encode(stopped())
    golden("inspect_with_module.txt", render(describe(decode(data), MODULE, data)))


def test_a_listing_without_the_module(golden: Callable[[str, str], None]) -> None:
    golden("inspect_without_module.txt", render(describe(stopped())))


def test_a_description_is_json(golden: Callable[[str, str], None]) -> None:
    data = encode(stopped())
    text = json.dumps(describe(stopped(), MODULE, data), indent=2)
    golden("inspect.json", text + "\n")


def test_of_thousands_of_frames_the_ends_are_shown() -> None:
    frames = tuple(Frame(1, 0x07, ((I32, i),), ()) for i in range(5000))
    description = describe(dataclasses.replace(stopped(), frames=frames), MODULE)
    assert len(description["frames"]) == 5000
    text = render(description)
    assert "frames: 5000" in text
    assert "  #19  $sum" in text
    assert "  … 4970 left out …\n  #4990  $sum" in text
    assert "$n=I32(4999)" in text
    assert "  #20  " not in text


def test_many_locals_are_wrapped() -> None:
    frame = Frame(9, 0x1234, tuple((I32, i) for i in range(100)), ())
    text = render(describe(dataclasses.replace(stopped(), frames=(frame,))))
    assert all(len(line) <= 100 for line in text.splitlines())
    assert "99=I32(99)" in text


def test_a_frame_that_fits_no_function_is_listed_all_the_same() -> None:
    for function, offset in ((0, 0), (1, 0x08), (99, 0)):
        snapshot = dataclasses.replace(stopped(), frames=(Frame(function, offset, (), ()),))
        description = describe(snapshot, MODULE)
        assert description["frames"][0]["instruction"] is None
        assert f"at 0x{offset:04x}\n" in render(description)


def test_names_cannot_command_a_terminal() -> None:
    snapshot = dataclasses.replace(stopped(), module_name="a\x1b[31m\n\u202eb é")
    line = render(describe(snapshot)).splitlines()[0]
    assert line == r'module       $"a\1b[31m\n\u{202e}b é"'
    readable = dataclasses.replace(stopped(), module_name="b é")
    assert render(describe(readable)).splitlines()[0] == 'module       $"b é"'


def test_another_module_is_refused() -> None:
    with pytest.raises(CheckpointError, match="of another module"):
        describe(stopped(), load("(module)"))


def test_linked_instances_are_listed_and_name_their_frames() -> None:
    description = describe(linked())
    assert json.loads(json.dumps(description)) == description
    assert [each["module"]["name"] for each in description["instances"]] == [
        "prog",
        "library",
        "prog",
    ]
    assert [frame["instance"] for frame in description["frames"]] == [1, 0, 0, 2]
    text = render(description)
    assert "linked instances: 3, that of the run first" in text
    assert "      memories  1 0\n" in text
    assert "      functions  0=0:0 3=1:2\n" in text
    assert "#0  func[2] at 0x0005 of instance 1" in text
    assert "REF(func 1 of instance 2)" in text
    assert "REF(extern object 1)" in text


def test_frames_of_other_instances_have_no_names_of_the_runs_module() -> None:
    first = stopped()
    frames = (first.frames[0]._replace(instance=1), *first.frames[1:])
    others = linked().others
    own, other = (
        describe(dataclasses.replace(first, frames=each, others=others), MODULE)["frames"][0]
        for each in (first.frames, frames)
    )
    assert own["name"] is not None
    assert (other["name"], other["instruction"], other["source"]) == (None, None, None)


def test_objects_and_what_segments_hold_are_listed() -> None:
    description = describe(linked())
    assert description["segments"][0] == {
        "instance": 0,
        "index": 1,
        "type": "anyref",
        "elements": ["REF(any i31 -1073741824)", "REF(null any)", 'REF(any "lamp")'],
    }
    exception, _, struct, array, string, _ = description["objects"]
    assert exception["tag"] == 1
    assert struct["type"] == {"instance": 1, "index": 300, "name": None}
    assert [each["value"] for each in struct["values"][:2]] == ["I8(-56)", "I16(-2)"]
    assert (array["element"], array["size"]) == ("anyref", 5)
    assert bytes.fromhex(string["bytes"]) == b"hello"
    text = render(description)
    assert "\nsegments:\n  1: REF(any i31 -1073741824)" in text
    assert "  0: exception of tag 1 0=I32(7) 1=REF(extern object 0)" in text
    assert "  2: struct of type 300 of instance 1: 0=I8(-56) 1=I16(-2)" in text
    assert "  4: array of type 2 of instance 2, 5 i8: 68 65 6c 6c 6f\n" in text
    assert "  5: array of type 4, 3 i16: I16(0) I16(-1) I16(300)\n" in text


def test_types_and_fields_have_the_names_of_the_runs_module() -> None:
    module = load("""(module $m (type $point (struct (field $x i32) (field $y f64)))
      (func (export "run")))""")
    objects = tuple(
        StructImage(TypeIdx(0, instance), ((I32, 1), (F64, 2.0))) for instance in (0, 1)
    )
    description = describe(
        dataclasses.replace(linked(), module_hash=module.hash, objects=objects), module
    )
    own, other = description["objects"]
    assert (own["type"]["name"], other["type"]["name"]) == ("point", None)
    assert [each["name"] for each in own["values"]] == ["x", "y"]
    assert "  0: struct of type $point: $x=I32(1) $y=F64(2.0)\n" in render(description)


def test_of_a_long_array_the_first_elements_are_listed() -> None:
    objects = (ArrayImage(TypeIdx(0), I8, bytes(1000)), ArrayImage(TypeIdx(1), I32, (0,) * 1000))
    text = render(describe(dataclasses.replace(linked(), objects=objects)))
    assert "1000 i8: " in text
    assert text.count("…") == 2
    assert text.count("I32(0)") == 64
