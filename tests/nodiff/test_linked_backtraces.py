"""Backtraces through several instances: the same on every path."""

from __future__ import annotations

import itertools

import pytest

import chiwawa
from chiwawa.source import load
from tests.path_helpers import PATHS, SHARING

#: Calls what is in its table, and then divides by nothing.
LIBRARY = load("""(module $library
  (memory (export "memory") 1)
  (table (export "table") 4 funcref)
  (type $step (func (param i32)))
  (elem (i32.const 0) $halt)
  (elem (i32.const 3) $through)
  (func $halt (param i32) unreachable)
  (func $leaf (param i32) (drop (i32.div_u (i32.const 1) (local.get 0))))
  (func $deep (export "deep") (param $n i32)
    (if (local.get $n)
      (then (call $deep (i32.sub (local.get $n) (i32.const 1))))
      (else (call $leaf (i32.const 0)))))
  (func $through (export "through") (param $at i32)
    (call_indirect (type $step) (i32.const 5) (local.get $at)))
  (func (export "nothing") (param i32) (drop (i32.load (i32.const -1)))))""")
PROGRAM = load("""(module $program
  (import "library" "memory" (memory 1))
  (import "library" "table" (table 4 funcref))
  (import "library" "deep" (func $deep (param i32)))
  (import "library" "through" (func $through (param i32)))
  (import "library" "nothing" (func $nothing (param i32)))
  (type $step (func (param i32)))
  (elem (i32.const 1) $own $traps)
  (func $own (param $n i32) (call $deep (local.get $n)))
  (func $traps (param i32) (drop (i32.div_s (i32.const -0x80000000) (i32.const -1))))
  (func $one (param $n i32) (call $deep (local.get $n)))
  (func (export "deep") (param $n i32) (call $one (local.get $n)))
  (func (export "nothing") (param i32) (call $nothing (i32.const 1)))
  (func (export "back") (param i32) (call $through (i32.const 1)))
  (func (export "traps") (param i32) (call $through (i32.const 2)))
  (func (export "round") (param i32)
    (call_indirect (type $step) (i32.const 2) (i32.const 3)))
  (func (export "by table") (param i32)
    (call_indirect (type $step) (i32.const 1) (i32.const 0))))""")
CALLS = ("deep", "nothing", "back", "traps", "by table", "round")


def trapped(below: str, above: str, name: str) -> tuple[str, list[str]]:
    first = chiwawa.instantiate(LIBRARY, path=below)
    second = chiwawa.instantiate(PROGRAM, {"library": first.exports}, path=above)
    with pytest.raises(chiwawa.Trap) as caught:
        second.invoke(name, [3])
    return caught.value.message, [str(place) for place in caught.value.backtrace]


@pytest.mark.parametrize(("below", "above"), SHARING)
@pytest.mark.parametrize("name", CALLS)
def test_a_backtrace_has_each_frame_once_in_its_own_module(
    below: str, above: str, name: str
) -> None:
    message, places = trapped("interp", "interp", name)
    assert (
        len(places)
        == {"deep": 7, "nothing": 2, "back": 10, "traps": 3, "by table": 2, "round": 3}[name]
    )
    assert trapped(below, above, name) == (message, places)


@pytest.mark.parametrize(("below", "above"), list(itertools.product(PATHS, repeat=2)))
def test_so_it_has_where_instances_share_nothing(below: str, above: str) -> None:
    library = load("""(module $l
      (func $f (export "f") (param i32) (call $g (local.get 0)))
      (func $g (param i32) unreachable))""")
    program = load("""(module $p
      (import "l" "f" (func $f (param i32)))
      (func (export "main") (call $f (i32.const 1))))""")
    top = load("""(module $t
      (import "p" "main" (func $main))
      (func (export "top") (call $main)))""")
    first = chiwawa.instantiate(library, path=below)
    second = chiwawa.instantiate(program, {"l": first.exports}, path=above)
    third = chiwawa.instantiate(top, {"p": second.exports}, path=below)
    with pytest.raises(chiwawa.Trap) as caught:
        third.invoke("top")
    assert [place.name for place in caught.value.backtrace] == ["g", "f", "main", "top"]
