"""Active segments are placed one after the other, up to the first that does not fit."""

from __future__ import annotations

import pytest

import chiwawa
from chiwawa_runtime.errors import Trap
from tests.path_helpers import SHARING, each_path

MEMORIES = chiwawa.load("""(module
  (memory (export "first") 1) (memory (export "second") 1)
  (global (export "at") i32 (i32.const 2)))""")
PLACING = """(module
  (import "env" "first" (memory $first 1))
  (import "env" "second" (memory $second 1))
  (import "env" "at" (global $at i32))
  (data (memory $first) (i32.const 1) "a")
  (data (memory $second) (i32.const 1) "b")
  (data (memory $first) (global.get $at) "cd")
  (data "nowhere")
  (data (memory $first) (i32.const {}) "ef")
  (data (memory $second) (i32.const 2) "g")
  (data (memory $first) (i32.const 65536) "")
  (func (export "dropped") (param i32) (result i32)
    ;; A segment that is dropped has no byte to copy.
    (memory.init $first 3 (i32.const 9) (i32.const 0) (i32.const 1))
    (memory.init $first 0 (i32.const 9) (i32.const 0) (i32.const 0))
    (memory.init $first 6 (i32.const 9) (i32.const 0) (local.get 0))
    (i32.const 1)))"""


@pytest.mark.parametrize(("below", "above"), SHARING)
def test_all_are_placed_in_their_memories_and_dropped(below: str, above: str) -> None:
    memories = chiwawa.instantiate(MEMORIES, path=below)
    imports = {"env": dict(memories.exports)}
    placing = chiwawa.instantiate(chiwawa.load(PLACING.format(65534)), imports, path=above)
    first, second = memories.memory("first"), memories.memory("second")
    assert (first.read(0, 6), first.read(65534, 2)) == (b"\0acd\0\0", b"ef")
    assert second.read(0, 4) == b"\0bg\0"
    assert placing.exports.dropped(0) == 1
    assert first.read(9, 1) == b"n"
    with pytest.raises(Trap, match="out of bounds memory access"):
        placing.exports.dropped(1)


@pytest.mark.parametrize(("below", "above"), SHARING)
def test_those_before_one_that_does_not_fit_have_been_placed(below: str, above: str) -> None:
    memories = chiwawa.instantiate(MEMORIES, path=below)
    imports = {"env": dict(memories.exports)}
    module = chiwawa.load(PLACING.format(65535))
    with pytest.raises(Trap, match="out of bounds memory access"):
        chiwawa.instantiate(module, imports, path=above)
    first, second = memories.memory("first"), memories.memory("second")
    assert (first.read(0, 6), first.read(65534, 2)) == (b"\0acd\0\0", b"\0\0")
    assert second.read(0, 4) == b"\0b\0\0"


@each_path
def test_an_address_is_unsigned(path: str) -> None:
    module = chiwawa.load('(module (memory 1) (data (i32.const -1) "a"))')
    with pytest.raises(Trap, match="out of bounds memory access"):
        chiwawa.instantiate(module, path=path)
