"""What a generated file says of its functions, and how it is read."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chiwawa.aot import translate, translate_on_demand
from chiwawa.program import program_of
from chiwawa.source import load
from chiwawa_runtime.engine.code_rows import (
    StackReader,
    StackWriter,
    TypeCodes,
    WrittenCode,
    write_row,
)
from chiwawa_runtime.engine.deferred import Deferred
from chiwawa_runtime.engine.translation import bundle_of
from chiwawa_runtime.errors import BadInput
from chiwawa_runtime.state.deftypes import of_functype
from chiwawa_runtime.state.program import CallPoint, SuspensionPoints
from chiwawa_runtime.state.stacks import Stack, popped, pushed, unrolled
from chiwawa_runtime.state.types import F64, I32, FuncType, RefType, ValType

SAMPLES = Path(__file__).parents[2] / "samples"
#: More than there are letters.
MANY: list[ValType] = [I32, F64, *(RefType(index) for index in range(70))]


def table(codes: TypeCodes) -> dict[str, ValType]:
    return {code: valtype for valtype, code in codes.codes.items()}


@given(st.lists(st.tuples(st.integers(0, 40), st.lists(st.sampled_from(MANY), max_size=30))))
def test_stacks_are_read_as_they_were_written(steps: list[tuple[int, list[ValType]]]) -> None:
    stack: Stack = None
    stacks = []
    for gone, types in steps:
        stack = pushed(popped(stack, min(gone, len(unrolled(stack)))), types)
        stacks.append(stack)
    codes = TypeCodes()
    writer = StackWriter(codes)
    written = [writer.write(stack) for stack in stacks]
    reader = StackReader(table(codes))
    assert [unrolled(reader.read(text)) for text in written] == list(map(unrolled, stacks))


def test_what_is_beneath_is_written_once_and_shared_when_it_is_read() -> None:
    high = pushed(None, [I32] * 1000)
    codes = TypeCodes()
    writer = StackWriter(codes)
    written = [writer.write(pushed(high, [F64] * n)) for n in range(20)]
    assert len(written[0]) == 1000
    assert written[1:3] == ["1000*b", "1000*bb"]
    reader = StackReader(table(codes))
    stacks = [reader.read(text) for text in written]
    assert all(popped(stack, n) is stacks[0] for n, stack in enumerate(stacks))


def test_there_are_codes_for_more_types_than_letters() -> None:
    codes = TypeCodes()
    first, last = codes(I32), [codes(t) for t in MANY][-1]
    assert (first, last) == ("a", "<71>")
    assert codes(I32) == "a"
    assert len({*table(codes)}) == len(MANY)


def test_a_row_says_all_of_a_function() -> None:
    functypes = [FuncType((I32,), ()), FuncType((), (F64,))]
    points = SuspensionPoints(
        (I32, RefType(0)),
        {1: None, 9: pushed(None, [I32, F64])},
        {
            9: CallPoint(pushed(None, [F64]), functypes[1], None),
            12: CallPoint(None, functypes[0], 7),
        },
    )
    codes = TypeCodes()
    index = {functype: number for number, functype in enumerate(functypes)}
    row = write_row(True, 120, 4, [(1, 3), (2, 5)], points, codes, index)
    assert row == "g|120|4|ac|1:3 2:5|1: 9:ab|9:b:1t 12::7"
    function = Deferred("f0", "file.py", 120, str)
    types = [of_functype(functype) for functype in functypes]
    functions = [types[0]] * 8
    code = WrittenCode(function, row, table(codes), types, functions)
    assert (code.generator, code.slots) == (True, 4)
    assert code.lines == {1: 3, 2: 5}
    assert code.points == points
    with pytest.raises(BadInput, match="was edited"):
        WrittenCode(Deferred("f0", "file.py", 121, str), row, table(codes), types, functions)
    points = replace(points, unset={9: frozenset((0, 1)), 12: frozenset((1,))})
    more = write_row(True, 120, 4, [(1, 3), (2, 5)], points, codes, index)
    assert more == row + "|9:0,1 12:1"
    assert WrittenCode(function, more, table(codes), types, functions).points == points


@pytest.mark.parametrize("granularity", ["safepoint", "instruction"])
@pytest.mark.parametrize("sample", ["bulk", "indirect", "nbody", "quicksort", "recursion"])
def test_a_file_says_of_each_function_what_a_translation_in_memory_does(
    sample: str, granularity: str
) -> None:
    module = load(SAMPLES / f"{sample}.wasm")
    out = io.StringIO()
    translate(module, out, granularity=granularity)
    file = bundle_of(out.getvalue(), "file.py")
    memory = translate_on_demand(module, program_of(module), granularity=granularity)
    assert file.program == memory.program
    assert file.imported_names == tuple(memory.imported_names)
    assert file.module == module.binary
    for written, known in zip(file.codes, memory.codes, strict=True):
        assert written.generator == known.generator
        assert written.slots == known.slots
        assert written.lines == known.lines
        assert written.points.locals == known.points.locals
        assert {o: unrolled(s) for o, s in written.points.safepoints.items()} == {
            o: unrolled(s) for o, s in known.points.safepoints.items()
        }
        assert {o: (c.stack, c.type, c.function) for o, c in written.points.calls.items()} == {
            o: (c.stack, c.type, c.function) for o, c in known.points.calls.items()
        }
        assert written.function.text().rstrip() == known.function.text().rstrip()
