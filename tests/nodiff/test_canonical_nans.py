"""Canonical NaNs: the bits of every NaN that arithmetic makes, and nothing else, on both paths."""

from __future__ import annotations

import itertools
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chiwawa import Match, api
from chiwawa.module import Module
from chiwawa.opcodes import BY_NAME, TABLE, Op
from chiwawa.source import load
from chiwawa_runtime import checkpoint
from chiwawa_runtime.run.instance import Instance
from chiwawa_runtime.state.plain import plain
from chiwawa_runtime.state.types import F32, F64, I32, I64, V128
from tests.nodiff.harness_helpers import (
    Call,
    Ending,
    again,
    begin,
    both,
    check,
    ended,
    same,
    spread,
    stopped_at,
    walk,
)
from tests.path_helpers import (
    PATHS,
    PATHS_AND_GRANULARITIES,
    each_path_and_granularity,
    stopping_at,
)

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
#: Those of vectors are held against wasmtime lane by lane (``test_vector_oracle``).
MAKERS = [op for op in TABLE if "n" in op.effects and V128 not in op.results]
COPIERS = [BY_NAME[f"{t}.{name}"] for t in ("f32", "f64") for name in ("abs", "neg", "copysign")]

CANONICAL = {F32: 0x7FC00000, F64: 0x7FF8000000000000}
EXPONENT = {F32: 0x7F800000, F64: 0x7FF0000000000000}
SIGN = {F32: 1 << 31, F64: 1 << 63}
ONE = {F32: 0x3F800000, F64: 0x3FF0000000000000}
INFINITY = EXPONENT
#: Quiet and signalling, with odd payloads; each with either sign.
NANS = {
    F32: [0x7FC00000, 0x7FC12345, 0x7FFFFFFF, 0x7F800001, 0x7FA00000, 0x7FBFFFFF],
    F64: [
        0x7FF8000000000000,
        0x7FF8000000000001,
        0x7FFFFFFFFFFFFFFF,
        0x7FF0000000000001,
        0x7FF0000020000000,
        0x7FF7FFFFFFFFFFFF,
    ],
}


def function(op: Op) -> str:
    """A function that takes and gives bits."""
    integers = {F32: "i32", F64: "i64"}
    params = [integers[t] for t in op.params]
    operands = " ".join(
        f"({t}.reinterpret_{i} (local.get {n}))"
        for n, (t, i) in enumerate(zip(op.params, params, strict=True))
    )
    (result,) = op.results
    return (
        f'(func (export "{op.name}") (param {" ".join(params)}) (result {integers[result]})'
        f" ({integers[result]}.reinterpret_{result} ({op.name} {operands})))"
    )


#: Where the result of one operation waits while others are made, for roundings share a cell.
WAITING = """
  (func (export "waiting") (param i32 i32) (result i64)
    (local $a f32) (local $b f32)
    (local.set $a (f32.reinterpret_i32 (local.get 0)))
    (local.set $b (f32.reinterpret_i32 (local.get 1)))
    (i64.or
      (i64.shl
        (i64.extend_i32_u (i32.reinterpret_f32 (f32.sub (local.get $a) (local.get $b))))
        (i64.const 32))
      (i64.extend_i32_u
        (i32.reinterpret_f32
          (f32.neg (f32.mul (f32.add (local.get $a) (local.get $b)) (local.get $b)))))))
"""
#: NaNs in locals, on the stack, in globals, in memory, through calls and loops; the result is a
#: checksum of their bits.
MIXING = """
(module $mixing
  (memory 1)
  (global $kept (mut f64) (f64.const -nan:0x123))
  (func $step (param $x f64) (param $y f32) (result f64 f32)
    (f64.sub (local.get $x) (f64.promote_f32 (local.get $y)))
    (f32.div (local.get $y) (f32.demote_f64 (local.get $x))))
  (func (export "mix") (param $count i32) (result i64)
    (local $x f64) (local $y f32) (local $sum i64)
    (local.set $x (f64.const inf))
    (local.set $y (f32.const inf))
    (loop $next
      (call $step (local.get $x) (local.get $y))
      (local.set $y)
      (local.set $x)
      (f64.store (i32.const 8) (f64.neg (local.get $x)))
      (f32.store (i32.const 16) (local.get $y))
      (global.set $kept (f64.copysign (f64.max (global.get $kept) (local.get $x)) (f64.const -1)))
      (local.set $sum
        (i64.add
          (i64.rotl (local.get $sum) (i64.const 7))
          (i64.xor
            (i64.reinterpret_f64 (f64.add (local.get $x) (global.get $kept)))
            (i64.xor (i64.load (i32.const 8)) (i64.load32_u (i32.const 16))))))
      (local.set $x (f64.add (local.get $x) (f64.const nan:0x8000000000003)))
      (br_if $next (local.tee $count (i32.sub (local.get $count) (i32.const 1)))))
    (local.get $sum)))
"""
#: What it gives for 9, on any processor: wasmtime with ``cranelift_nan_canonicalization`` says so.
MIXED = -8751309688520252989


@cache
def operations() -> Module:
    functions = "\n".join(function(op) for op in (*MAKERS, *COPIERS))
    return load(f"(module {functions} {WAITING})")


@cache
def instance(path: str, granularity: str, canonical_nans: bool) -> Instance:
    return api.instantiate(
        operations(), path=path, granularity=granularity, canonical_nans=canonical_nans
    )


def is_nan(bits: int, valtype: Any) -> bool:
    """``bits`` may be signed."""
    return bits & SIGN[valtype] - 1 > EXPONENT[valtype]


def signed(bits: int, valtype: Any) -> int:
    """The bits of a float as an int that has come out of a program."""
    return plain(bits, I32 if valtype is F32 else I64)  # type: ignore[no-any-return]


def nans(valtype: Any) -> list[int]:
    return [bits | sign for bits in NANS[valtype] for sign in (0, SIGN[valtype])]


def with_nans(op: Op) -> list[tuple[int, ...]]:
    """Operands of which one at least is a NaN."""
    valtype = op.params[0]
    ordinary = [0, SIGN[valtype], 1, ONE[valtype], INFINITY[valtype]]
    values = [*nans(valtype), *ordinary]
    return [
        args
        for args in itertools.product(values, repeat=len(op.params))
        if any(is_nan(arg, valtype) for arg in args)
    ]


@each_path_and_granularity
@pytest.mark.parametrize("op", MAKERS, ids=lambda op: op.name)
def test_of_a_nan_arithmetic_makes_the_canonical_one(op: Op, path: str, granularity: str) -> None:
    run = instance(path, granularity, True)
    for args in with_nans(op):
        assert run.invoke(op.name, args) == [CANONICAL[op.results[0]]], [hex(a) for a in args]


@each_path_and_granularity
@pytest.mark.parametrize("valtype", [F32, F64], ids=str)
def test_where_there_is_no_result_it_is_the_canonical_one(
    valtype: Any, path: str, granularity: str
) -> None:
    run = instance(path, granularity, True)
    infinity, sign, one = INFINITY[valtype], SIGN[valtype], ONE[valtype]
    for name, args in (
        ("div", (0, 0)),
        ("div", (sign, 0)),
        ("div", (infinity, infinity)),
        ("sub", (infinity, infinity)),
        ("add", (infinity, infinity | sign)),
        ("add", (infinity | sign, infinity)),
        ("mul", (infinity, 0)),
        ("mul", (sign, infinity)),
        ("sqrt", (one | sign,)),
        ("sqrt", (infinity | sign,)),
    ):
        assert run.invoke(f"{valtype}.{name}", args) == [CANONICAL[valtype]], (name, args)


@each_path_and_granularity
@pytest.mark.parametrize("op", COPIERS, ids=lambda op: op.name)
def test_a_change_of_sign_keeps_the_other_bits(op: Op, path: str, granularity: str) -> None:
    run = instance(path, granularity, True)
    sign = SIGN[op.params[0]]
    for args in with_nans(op):
        given_ = args[0]
        match op.name.partition(".")[2]:
            case "abs":
                wanted = given_ & ~sign
            case "neg":
                wanted = given_ ^ sign
            case _:
                wanted = given_ & ~sign | args[1] & sign
        assert run.invoke(op.name, args) == [signed(wanted, op.params[0])], [*map(hex, args)]


@given(st.data(), st.sampled_from(MAKERS))
def test_whatever_is_no_nan_stays_as_it_is(data: st.DataObject, op: Op) -> None:
    bits = {F32: st.integers(0, 2**32 - 1), F64: st.integers(0, 2**64 - 1)}
    args = [data.draw(bits[t]) for t in op.params]
    result = op.results[0]
    ordinary: int = instance("interp", "safepoint", False).invoke(op.name, args)[0]
    wanted = CANONICAL[result] if is_nan(ordinary, result) else ordinary
    for path, granularity in PATHS_AND_GRANULARITIES:
        assert instance(path, granularity, True).invoke(op.name, args) == [wanted]


@each_path_and_granularity
def test_a_result_that_waits_is_not_that_of_another_operation(path: str, granularity: str) -> None:
    run = instance(path, granularity, True)
    usual = instance(path, granularity, False)
    canonical, one = CANONICAL[F32], ONE[F32]
    for nan in nans(F32):
        wanted = canonical << 32 | canonical | SIGN[F32]
        assert run.invoke("waiting", (nan, one)) == [wanted]
        assert run.invoke("waiting", (one, nan)) == [wanted]
    for args in ((one, 0x40400000), (INFINITY[F32], one)):
        assert run.invoke("waiting", args) == usual.invoke("waiting", args)
    # A difference that is a NaN, beside a product that is none.
    infinite = (INFINITY[F32], INFINITY[F32])
    assert run.invoke("waiting", infinite) == [canonical << 32 | INFINITY[F32] | SIGN[F32]]


SAMPLE_CALLS: list[tuple[str, tuple[Any, ...]]] = [
    ("copy32", (0xFFA12345,)),
    ("copy64", (0xFFF0000000000001,)),
    ("payloads", (3,)),
    ("rules", ()),
]


@pytest.mark.parametrize(("name", "args"), SAMPLE_CALLS)
def test_nans_that_are_only_copied_keep_their_bits(name: str, args: tuple[Any, ...]) -> None:
    module = load(SAMPLES / "nan.wasm")
    ending = check(Call(module, name, args, canonical_nans=True))
    assert ending.detail == both(Call(module, name, args)).detail


def mixing() -> Call:
    return Call(load(MIXING), "mix", (9,), canonical_nans=True)


def test_both_paths_write_the_same_and_go_on_alike() -> None:
    ending = check(mixing(), stops=30, crossings=30, instruction_stops=60, instruction_crossings=20)
    assert ending.detail == ((MIXED, "int"),)


@each_path_and_granularity
def test_a_checkpoint_says_it_and_whoever_goes_on_does_so(path: str, granularity: str) -> None:
    call = mixing()
    expected = both(call, granularity)
    total = expected.safepoints or 0
    for stop in walk(call, path, spread(total, 5), granularity):
        assert checkpoint.decode(stop.data).canonical_nans
        for other in stopping_at(granularity):
            session = again(call, stop.data, other)
            assert session.run.instance.engine.canonical_nans
            same(expected, ended(session, call), f"{path} to {other} at {stop.number}")


def test_a_chain_of_checkpoints_stays_in_the_mode() -> None:
    call = mixing()
    expected = both(call)
    session = begin(call, "interp")
    for number, path in zip(spread(expected.safepoints or 0, 8), itertools.cycle(PATHS[::-1])):
        session = again(call, stopped_at(session, number).data, path)
    same(expected, ended(session, call), "a chain")


def test_an_instructions_checkpoint_goes_on_in_the_mode_at_safepoints() -> None:
    call = mixing()
    expected = both(call)
    fine = both(call, "instruction").safepoints or 0
    for stop in walk(call, "interp", spread(fine - 40, 10), "instruction"):
        session = again(call, stop.data, "aot", "safepoint")
        assert session.run.instance.engine.canonical_nans
        assert ended(session, call).detail == expected.detail


def test_an_ordinary_run_stays_ordinary() -> None:
    call = Call(load(MIXING), "mix", (9,))
    for path in PATHS:
        stop = next(walk(call, path, [3]))
        snapshot = checkpoint.decode(stop.data)
        assert not snapshot.canonical_nans
        assert not again(call, stop.data, path).run.instance.engine.canonical_nans
        run = api.restore(call.module, stop.data, path=path, canonical_nans=True)
        assert checkpoint.decode(run.checkpoint()).canonical_nans


def test_what_a_file_was_compiled_with_is_its_own(tmp_path: Path) -> None:
    call = mixing()
    module = call.module
    assert isinstance(module, Module)
    expected = both(call)
    plain, baked = tmp_path / "plain.py", tmp_path / "baked.py"
    api.compile_file(module, plain)
    api.compile_file(module, baked, canonical_nans=True)
    assert "canonical" not in plain.read_text().partition("BUNDLE")[0]
    stop = next(walk(call, "interp", [4]))
    for file, own in ((plain, False), (baked, True)):
        bundle = api.load_generated(file)
        assert bundle.canonical_nans is own
        for path in PATHS:
            run = api.start(bundle, call.name, call.args, path=path)
            assert run.instance.engine.canonical_nans is own
            run = api.start(bundle, call.name, call.args, path=path, canonical_nans=not own)
            assert run.instance.engine.canonical_nans is not own
            session = again(Call(bundle, call.name, call.args), stop.data, path)
            same(expected, ended(session, call), f"{file.name} on {path}")
    assert api.load_generated(baked).instantiate().invoke("mix", [9]) == [MIXED]


def test_probes_leave_the_mode() -> None:
    call = mixing()
    endings: list[Ending] = []
    for each in PATHS:
        session = begin(call, each)
        seen: list[str] = []
        session.run.instance.probe(Match(op="f64.store"), lambda at, seen=seen: seen.append(at.op))
        endings.append(ended(session, call))
        assert len(seen) == 9
    for ending in endings:
        same(both(call), ending, "with a probe")
