"""One generated module, judged: our paths against each other, and both against wasmtime."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from generate import Choose, arguments
from harness import Call, Log, check, no_imports
from oracle import Oracle, agrees, without_nan

from chiwawa.module import Module, TypeUse
from chiwawa_runtime.instance import Imports
from chiwawa_runtime.numerics import f32_from_bits, f64_from_bits
from chiwawa_runtime.types import F32, F64, I32, I64, FuncType, ValType

#: Safepoints after which a run is broken off, and compared where it stands.
LIMIT = 1200


def host(functype: FuncType, log: Log) -> Callable[..., Any]:
    """Logs what it is called with and answers from that, as the oracle's worker does."""

    def call(*args: Any) -> Any:
        bits = [seen(a, t) for a, t in zip(args, functype.params, strict=True)]
        log.append(tuple(bits))
        total = sum(b if isinstance(b, int) else 7 for b in bits)
        values = [answer((total * 31 + i) & 0x7FFF, t) for i, t in enumerate(functype.results)]
        return values[0] if len(values) == 1 else values or None

    return call


def seen(value: Any, valtype: ValType) -> Any:
    from harness import bits

    shown = bits(value, valtype, {})
    return value if valtype is I32 or valtype is I64 else without_nan(shown, valtype)


def answer(number: int, valtype: ValType) -> Any:
    if valtype is F32:
        return f32_from_bits(number)
    if valtype is F64:
        return f64_from_bits(number)
    return number if valtype is I32 or valtype is I64 else None


def hosts(module: Module) -> Callable[[Log], Imports]:
    """All the functions that ``module`` imports, and nothing else."""

    def make(log: Log) -> Imports:
        result: dict[str, dict[str, Any]] = {}
        for wanted in module.imports:
            assert isinstance(wanted.desc, TypeUse)
            functype = module.types[wanted.desc.typeidx]
            result.setdefault(wanted.module, {})[wanted.name] = host(functype, log)
        return result

    return make if module.imports else no_imports


def calls_of(module: Module, choose: Choose, most: int) -> list[tuple[Call, list[int]]]:
    """A call of each exported function, up to ``most``, and its arguments by bits."""
    types = module.func_types()
    result = []
    for export in module.exports:
        if export.kind != "func" or len(result) == most:
            continue
        bits, values = arguments(choose, [str(t) for t in types[export.index].params])
        result.append((Call(module, export.name, tuple(values), hosts(module), LIMIT), bits))
    return result


def judge(
    module: Module, choose: Choose, oracle: Oracle, *, most: int = 6, **depth: int
) -> Counter[str]:
    """How calls of ``module`` ended, and how often wasmtime had a say. An AssertionError where
    anything differs. ``depth`` is what ``harness.check`` takes."""
    stats: Counter[str] = Counter()
    calls = calls_of(module, choose, most)
    answers = oracle.ask(module.binary, [(call.name, bits) for call, bits in calls])
    for place, (call, _) in enumerate(calls):
        ending = check(call, **depth)
        stats[ending.kind] += 1
        if answers is not None and place < len(answers):
            stats["oracle"] += agrees(call, ending, answers[place])
    return stats
