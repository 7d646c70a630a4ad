"""Types of structures and arrays in modules that make none: all references to such are null, and
all paths run them. A module that makes one somewhere is refused natively."""

from __future__ import annotations

import pytest

import chiwawa
from chiwawa import api, paths
from chiwawa.execution import Source
from chiwawa.source import load
from chiwawa_runtime.errors import UnsupportedError
from tests.nodiff.harness_helpers import Call, both, check, compare_bytes, cross
from tests.path_helpers import IN_PYTHON, PATHS, each_path

TYPES = """
(rec (type $pair (sub (struct (field $x (mut i32)) (field $p i8) (field (ref null $pair)))))
     (type $triple (sub $pair
       (struct (field (mut i32)) (field i8) (field (ref null $pair)) (field f64)))))
(type $bytes (array (mut i8)))
(type $refs (array (mut anyref)))
"""
#: Null references to them in each place there is, in functions that stop; and functions that
#: nobody can call.
NULLS = f"""{TYPES}
(type $take (func (param (ref null $pair)) (result i32)))
(type $gone (func (param (ref $pair) (ref null $bytes)) (result (ref null $bytes) i32)))
(tag $tag (param (ref null $refs)))
(global $g (mut (ref null $pair)) (ref.null $triple))
(global $never (export "never") (ref null struct) (ref.null none))
(table $t 3 (ref null $bytes))
(table $any 3 anyref)
(elem $passive (ref null $pair) (ref.null $triple) (ref.null none))
(elem declare func $take $gone)
(func $take (type $take)
  (loop)
  (if (result i32) (ref.is_null (local.get 0))
    (then (i32.const 7)) (else (struct.get $pair $x (local.get 0)))))
(func $gone (type $gone) (local $l (ref $pair))
  (local.set $l (local.get 0))
  (loop)
  (local.get 1)
  (struct.get_s $pair $p (local.get $l)))
(func $through (param (ref null $refs) i32) (result (ref null $refs))
  (if (local.get 1) (then
    (drop (call $through (local.get 0) (i32.sub (local.get 1) (i32.const 1))))))
  (loop)
  (local.get 0))
(func $held (param $n i32) (result i32) (local $r (ref null $refs))
  (block $caught (result (ref null $refs))
    (try_table (catch $tag $caught)
      (throw $tag (call $through (ref.null $refs) (local.get $n))))
    (unreachable))
  (local.set $r)
  (i32.add (ref.is_null (local.get $r))
    (i32.or (ref.test (ref $triple) (table.get $any (i32.const 0)))
      (i32.shl (ref.test (ref null $triple) (table.get $any (i32.const 1))) (i32.const 1)))))
(func (export "f") (param $n i32) (result i32)
  (local $sum i32) (local $p (ref null $pair)) (local $b (ref null $bytes))
  (table.set $any (i32.const 0) (ref.i31 (i32.const 9)))
  (loop $more
    (local.set $p (ref.cast (ref null $triple) (global.get $g)))
    (global.set $g (local.get $p))
    (local.set $b (table.get $t (i32.const 1)))
    (table.set $t (i32.const 2) (local.get $b))
    (local.set $sum (i32.add (local.get $sum) (call $held (i32.const 2))))
    (local.set $sum (i32.add (local.get $sum) (call_ref $take (local.get $p) (ref.func $take))))
    (drop (block $no (result (ref null $bytes) i32)
      (local.get $b)
      (i32.const 5)
      (br_if $no (ref.is_null (local.get $p)))
      (drop) (drop)
      (call_ref $gone (ref.as_non_null (local.get $p)) (local.get $b) (ref.func $gone))))
    (drop)
    (br_if $more (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
  (local.get $sum))
"""


def test_a_program_with_their_types_is_the_same_at_every_safepoint() -> None:
    call = Call(load(NULLS), "f", (2,))
    expected = both(call)
    assert expected.kind == "returned"
    for stop in compare_bytes(call, range(1, (expected.safepoints or 0) + 1)):
        cross(call, stop, expected)
    check(call)


#: What traps, since it is null, and how.
NULL = {
    "(struct.set $pair 0 (global.get $g) (i32.const 1))": "null structure reference",
    "(drop (struct.get $pair 0 (global.get $g)))": "null structure reference",
    "(drop (struct.get_u $pair 1 (global.get $g)))": "null structure reference",
    "(drop (array.get_s $bytes (local.get $b) (i32.const 0)))": "null array reference",
    "(array.set $bytes (local.get $b) (i32.const 0) (i32.const 0))": "null array reference",
    "(drop (array.len (local.get $b)))": "null array reference",
    "(array.fill $refs (local.get $r) (i32.const 0) (ref.null any) (i32.const 0))": (
        "null array reference"
    ),
    "(array.copy $refs $refs (local.get $r) (i32.const 0) (local.get $r) (i32.const 0)"
    " (i32.const 0))": "null array reference",
    "(array.init_data $bytes $d (local.get $b) (i32.const 0) (i32.const 0) (i32.const 0))": (
        "null array reference"
    ),
    "(array.init_elem $refs $e (local.get $r) (i32.const 0) (i32.const 0) (i32.const 0))": (
        "null array reference"
    ),
    "(drop (ref.cast (ref $pair) (global.get $g)))": "cast failure",
    "(drop (ref.cast (ref $triple) (ref.i31 (i32.const 1))))": "cast failure",
    "(drop (ref.as_non_null (global.get $g)))": "null reference",
}


@pytest.mark.parametrize("looping", ["", "(loop)"])
@pytest.mark.parametrize("what", NULL)
def test_what_is_null_traps_alike(what: str, looping: str) -> None:
    module = load(f"""{TYPES}
        (global $g (mut (ref null $pair)) (ref.null $pair)) (data $d "ab")
        (elem $e anyref (ref.null any))
        (func (export "f") (local $b (ref null $bytes)) (local $r (ref null $refs))
          {looping} {what})""")
    ending = both(Call(module, "f"))
    assert ending.kind == "trap"
    assert ending.detail[0] == NULL[what]


#: Where one is made: in code, even where that is never reached, and in constant expressions.
MAKING = (
    "(func (drop (struct.new_default $pair)))",
    "(func (unreachable) (array.new_fixed $bytes 0) (drop))",
    '(data $d "ab") (func (drop (array.new_data $bytes $d (i32.const 0) (i32.const 0))))',
    "(global (ref $bytes) (array.new $bytes (i32.const 1) (i32.const 2)))",
    "(global anyref (struct.new_default $triple))",
    "(table 1 (ref $bytes) (array.new_fixed $bytes 0))",
    "(elem anyref (ref.null any) (struct.new_default $pair))",
)


@pytest.mark.parametrize("where", MAKING)
@each_path
def test_a_module_that_makes_one_runs_on_the_paths_in_python_alone(path: str, where: str) -> None:
    module = load(f"{TYPES} {where}")
    refusal = paths.path(path).refusal(Source(module), "safepoint")
    if path in IN_PYTHON:
        assert refusal is None
        api.instantiate(module, path=path)
    else:
        assert refusal is not None
        assert "makes structures or arrays" in refusal
        with pytest.raises(UnsupportedError, match="makes structures or arrays"):
            api.instantiate(module, path=path)


@pytest.mark.skipif("native" not in PATHS, reason="there is no other path")
def test_what_another_path_has_made_does_not_come_in() -> None:
    """Neither as an argument nor in a checkpoint."""
    maker = api.instantiate(
        load(f'{TYPES} (func (export "make") (result anyref) (struct.new_default $pair))')
    )
    made = maker.invoke("make")
    module = load(f"""{TYPES} (func (export "run") (param anyref) (result i32)
        (loop) (ref.test (ref $pair) (local.get 0)))""")
    with pytest.raises(UnsupportedError, match="holds no structures"):
        api.instantiate(module, path="native").invoke("run", made)
    run = chiwawa.start(module, "run", made)
    run.requests.count_from(0, 1)
    assert not run.go()
    data = run.checkpoint()
    again = chiwawa.restore(module, data, path="aot")
    assert again.go()
    assert again.results == [1]
    with pytest.raises(UnsupportedError, match="holds no structures") as refused:
        chiwawa.restore(module, data, path="native")
    assert "\n" not in str(refused.value)
    assert chiwawa.restore(module, data, path="auto").go()
