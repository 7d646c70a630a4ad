"""One generated module, judged: our paths against each other, and both against wasmtime."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from chiwawa.aot import ir_checker
from chiwawa.interp import handlers
from chiwawa.lower.lowered import Spaces
from chiwawa.module import Module, TagUse, TypeUse
from chiwawa_runtime.engine.instance import Imports
from chiwawa_runtime.state.exceptions import Tag
from chiwawa_runtime.state.numerics import (
    NAMESPACE,
    f32_from_bits,
    f64_from_bits,
    float_canonical,
)
from chiwawa_runtime.state.types import F32, F64, I32, I64, V128, FuncType, RefType, ValType
from chiwawa_runtime.state.vectors import named
from tests.nodiff.generator_helpers import Choose, arguments
from tests.nodiff.harness_helpers import (
    GRANULARITIES,
    Call,
    Ending,
    Log,
    bits,
    check,
    no_imports,
    whole,
)
from tests.nodiff.oracle_helpers import Oracle, agrees, without_nan
from tests.nodiff.plain_signature_helpers import (
    adapter_of,
    plain_bits,
    plain_result,
    with_plain_signatures,
)
from tests.unit.aot.form_helpers import forms

#: Safepoints after which a run is broken off, and compared where it stands.
LIMIT = 1200


def host(functype: FuncType, log: Log) -> Callable[..., Any]:
    """Logs what it is called with and answers from that, as the oracle's worker does."""

    def call(*args: Any) -> Any:
        shown = [each for a, t in zip(args, functype.params, strict=True) for each in seen(a, t)]
        log.append(tuple(shown))
        total = sum(b if isinstance(b, int) else 7 for b in shown)
        values = [answer((total * 31 + i) & 0x7FFF, t) for i, t in enumerate(functype.results)]
        return values[0] if len(values) == 1 else values or None

    return call


def seen(value: Any, valtype: ValType) -> list[Any]:
    """An argument, as the host is given it that the oracle's worker has."""
    if valtype is V128:
        return plain_result(value, valtype)
    return [without_nan(bits(value, valtype), valtype)]


def answer(number: int, valtype: ValType) -> Any:
    if valtype is F32:
        return f32_from_bits(number)
    if valtype is F64:
        return f64_from_bits(number)
    if valtype is V128:
        return number.to_bytes(16, "little")
    return number if valtype is I32 or valtype is I64 else None


def hosts(module: Module) -> Callable[[Log], Imports]:
    """All the functions and tags that ``module`` imports, and nothing else."""

    def make(log: Log) -> Imports:
        result: dict[str, dict[str, Any]] = {}
        for wanted in module.import_section:
            assert isinstance(wanted.desc, TypeUse | TagUse)
            functype = module.functype(wanted.desc.typeidx)
            assert functype is not None
            made = host(functype, log) if isinstance(wanted.desc, TypeUse) else Tag(functype)
            result.setdefault(wanted.module, {})[wanted.name] = made
        return result

    return make if module.import_section else no_imports


def calls_of(module: Module, choose: Choose, most: int) -> list[tuple[Call, list[int]]]:
    """A call of each exported function, up to ``most``, and its arguments by bits, for the module
    with plain signatures."""
    funcs = Spaces.of(module).funcs
    result = []
    for export in module.export_section:
        if export.kind != "func" or len(result) == most:
            continue
        params = funcs[export.index].functype.params
        if any(isinstance(t, RefType) and not t.nullable for t in params):
            # The host has none to give.
            continue
        numbers, values = arguments(choose, [str(t) for t in params])
        plain = [each for n, t in zip(numbers, params, strict=True) for each in plain_bits(n, t)]
        result.append((Call(module, export.name, tuple(values), hosts(module), LIMIT), plain))
    return result


def check_but_for_nans(call: Call, **depth: int) -> tuple[Ending, bool]:
    """``harness.check``, where the paths may differ in the bits of NaNs that arithmetic makes, and
    in nothing else: the ending, and whether a difference was excused. Those bits are for the
    processor and for Python to choose. A difference is excused where arithmetic did make a NaN and
    none is left when every such NaN is the canonical one; the ending is that of then."""
    try:
        return check(call, **depth), False
    except AssertionError:
        canonical = replace(call, canonical_nans=True)
        if call.canonical_nans or not makes_nans(canonical):
            raise
        return check(canonical, **depth), True


def makes_nans(canonical: Call) -> bool:
    """Whether arithmetic makes a NaN in the call, on the interpreter, up to the call's limit."""
    made = []

    def record(value: float) -> float:
        if value != value:
            made.append(value)
        return float_canonical(value)

    def recording(shape: str) -> Callable[[bytes], bytes]:
        (canonical_lanes,) = named([f"{shape}_canonical"]).values()

        def record_lanes(value: bytes) -> bytes:
            lanes = struct.unpack({"f32x4": "<4f", "f64x2": "<2d"}[shape], value)
            made.extend(lane for lane in lanes if lane != lane)
            return canonical_lanes(value)  # type: ignore[operator, no-any-return]

        return record_lanes

    shapes = {f"{shape}_canonical": recording(shape) for shape in ("f32x4", "f64x2")}
    with interpreting(float_canonical=record, **shapes):
        for granularity in GRANULARITIES:
            whole(canonical, "interp", granularity)
    return bool(made)


@contextmanager
def interpreting(**functions: Callable[..., Any]) -> Iterator[None]:
    """These functions in the meanings of instructions, on the interpreter alone."""
    handlers.factory.cache_clear()
    try:
        with patch.dict(NAMESPACE, functions):
            yield
    finally:
        handlers.factory.cache_clear()


def judge(
    module: Module,
    choose: Choose,
    oracle: Oracle,
    *,
    elsewhere: Module | None = None,
    most: int = 6,
    **depth: int,
) -> Counter[str]:
    """How calls of ``module`` ended, how often wasmtime had a say, and how often a difference was
    the NaNs'. An AssertionError where anything else differs. ``depth`` is what ``harness.check``
    takes; ``elsewhere`` is what the oracle runs where it cannot run ``module``. What holds of the
    translator's inner form is checked, too."""
    stats: Counter[str] = Counter()
    for steps, lowered in forms(module):
        ir_checker.check(steps, lowered)
    calls = calls_of(module, choose, most)
    answers = oracle.ask(
        with_plain_signatures(elsewhere or module),
        [(call.name, numbers) for call, numbers in calls],
        adapter_of(module),
    )
    for place, (call, _) in enumerate(calls):
        ending, excused = check_but_for_nans(call, **depth)
        stats[ending.kind] += 1
        stats["NaNs"] += excused
        # What depends on the bits of NaNs may do so in wasmtime too.
        if not excused and answers is not None and place < len(answers):
            stats["oracle"] += agrees(call, ending, answers[place])
    return stats
