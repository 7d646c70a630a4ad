"""Probes drawn at random: they see the same on both paths, and what a trace says."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from chiwawa import At, Instruments, Match, Module, Probe, Tracer, Tracing, api, load, restore
from chiwawa.lower.lowered import Spaces
from chiwawa.module import Instr, TypeUse
from chiwawa.opcodes import groups_of
from chiwawa_runtime.engine.instance import Imports
from chiwawa_runtime.errors import HostError, Trap
from chiwawa_runtime.run.instance import Run
from chiwawa_runtime.state.numerics import f32_from_bits, f64_from_bits
from chiwawa_runtime.state.snapshot import FuncIdx
from chiwawa_runtime.state.types import F32, F64, I32, I64, ValType
from chiwawa_runtime.state.values import format_value
from tests.instrument.probe_helpers import TEXT, both_granularities, passed, seen
from tests.nodiff.generator_helpers import Choose, Generator, arguments, seeded
from tests.nodiff.harness_helpers import state_of
from tests.path_helpers import each_path_and_granularity, next_path, stopping_at

#: Safepoints, or boundaries, after which a run is broken off.
LIMIT = {"safepoint": 100, "instruction": 600}
DRAWN = settings(max_examples=20, derandomize=True, suppress_health_check=list(HealthCheck))


@st.composite
def choices(draw: st.DrawFn) -> Choose:
    """A source of choices that hypothesis records and shrinks."""

    def choose(count: int) -> int:
        return draw(st.integers(0, count - 1))

    return choose


# What is run.


@dataclass(frozen=True)
class Case:
    module: Module
    name: str
    args: tuple[Any, ...]
    matches: tuple[Match, ...]


def case_of(module: Module, choose: Choose, probes: int) -> Case:
    """A call of one of the functions, and matches that some of its instructions have."""
    funcs = Spaces.of(module).funcs
    exports = [e for e in module.export_section if e.kind == "func"]
    export = exports[choose(len(exports))]
    _, values = arguments(choose, [str(t) for t in funcs[export.index].functype.params])
    if module is FIXED:
        values = [value % 12 for value in values]
    matches = tuple(match_of(module, choose) for _ in range(probes))
    return Case(module, export.name, tuple(values), matches)


def match_of(module: Module, choose: Choose) -> Match:
    imported = len(module.func_typeidxs()) - len(module.funcs)
    place = choose(len(module.funcs))
    body = [i for i in module.funcs[place].body if i.op.name not in ("else", "end")]
    if not body:
        return Match(function=imported + place)
    instr: Instr = body[choose(len(body))]
    group = sorted(groups_of(instr.op))
    ways: list[Match] = [
        Match(at=(imported + place, instr.offset)),
        Match(op=instr.op.name),
        Match(op=instr.op.name, function=imported + place),
        Match(function=imported + place),
        Match(function="f*", where=lambda at: at.offset % 3 == 1),
        Match(where=lambda at: len(at.operands) > 1 and bool(at.operands[-1])),
    ]
    if group:
        ways.append(Match(group=group[0]))
        ways.append(Match(group=group[-1], where=lambda at: bool(at.locals) and at.locals[0] != 0))
    return ways[choose(len(ways))]


def imports_of(module: Module) -> Imports:
    """What a module imports, all functions: they answer what they always answer."""
    result: dict[str, dict[str, Any]] = {}
    for wanted in module.import_section:
        assert isinstance(wanted.desc, TypeUse)
        results = module.types[wanted.desc.typeidx].results
        values = [1.5 if t in (F32, F64) else 3 if t in (I32, I64) else None for t in results]
        answer = None if not values else values[0] if len(values) == 1 else tuple(values)
        result.setdefault(wanted.module, {})[wanted.name] = lambda *args, answer=answer: answer
    return result


def started(case: Case, path: str, granularity: str, **more: Any) -> Run:
    run = api.start(
        case.module,
        case.name,
        case.args,
        imports_of(case.module),
        path=path,
        granularity=granularity,
        **more,
    )
    run.requests.count_from(0, LIMIT[granularity])
    return run


def ended(run: Run) -> tuple[Any, ...]:
    """How it ends, or that it was broken off."""
    try:
        while not run.go():
            if "count" in run.requests.take():
                return "stopped", run.checkpoint()
    except Trap as trap:
        return "trap", trap.message, trap.backtrace
    except HostError as error:
        return "host error", str(error)
    return "returned", list(map(repr, run.results))


# Probes that look.


def line(at: At) -> dict[str, Any]:
    """What the trace says there."""
    indices = {id(f): FuncIdx(i) for i, f in reversed(list(enumerate(at.instance.functions)))}

    def texts(values: Any, types: tuple[ValType, ...]) -> list[str]:
        pairs = zip(values, types, strict=True)
        return [format_value(t, indices.get(id(v), v)) for v, t in pairs]

    return {
        "func": at.function,
        "offset": at.offset,
        "stack": texts(at.operands, at.operand_types),
        "locals": texts(at.locals, at.local_types),
        "globals": texts(at.globals, tuple(g.type.type for g in at.instance.globals)),
    }


def looking(run: Run, matches: tuple[Match, ...], log: list[Any]) -> None:
    for number, match in enumerate(matches):
        run.instance.probe(match, lambda at, n=number: log.append((n, line(at))))


def trace(case: Case, granularity: str) -> list[dict[str, Any]]:
    out = io.StringIO()
    resources = frozenset(("pc", "stack", "locals", "globals"))
    tracer = Tracer(case.module, Tracing(resources=resources, format="jsonl"), out)
    instruments = Instruments(case.module, tracer=tracer)
    ended(started(case, "interp", granularity, instruments=instruments))
    instruments.finish()
    lines = [json.loads(text) for text in out.getvalue().splitlines()]
    for found in lines:
        del found["instr"]
    return lines


def check_looking(case: Case, granularity: str) -> int:
    plain = ended(started(case, "interp", granularity))
    whole: list[dict[str, Any]] = trace(case, granularity)
    logs: list[list[Any]] = []
    for path in stopping_at(granularity):
        log: list[Any] = []
        run = started(case, path, granularity)
        looking(run, case.matches, log)
        everything: list[Any] = []
        looking(run, (Match(),), everything)
        assert ended(run) == plain
        assert [found for _, found in everything] == whole
        logs.append(log)
    assert logs.count(logs[0]) == len(logs)
    for number, match in enumerate(case.matches):
        if match.where is None:
            mine = [found for n, found in logs[0] if n == number]
            places = {(found["func"], found["offset"]) for found in mine}
            assert mine == [e for e in whole if (e["func"], e["offset"]) in places]
            assert all(accepted(case.module, match, *p) for p in places)
    return len(logs[0])


def accepted(module: Module, match: Match, function: int, offset: int) -> bool:
    imported = len(module.func_typeidxs()) - len(module.funcs)
    instr = next(i for i in module.funcs[function - imported].body if i.offset == offset)
    return (
        match.at in (None, (function, offset))
        and match.op in (None, instr.op.name)
        and (match.group is None or match.group in groups_of(instr.op))
        and (not isinstance(match.function, int) or match.function == function)
    )


FIXED = load(TEXT)


@both_granularities
@DRAWN
@given(choices())
def test_probes_see_the_same_on_both_paths_and_what_a_trace_says(
    granularity: str, choose: Choose
) -> None:
    case = case_of(FIXED, choose, 1 + choose(5))
    note(repr(case))
    check_looking(case, granularity)


@both_granularities
@pytest.mark.parametrize("seed", range(8))
def test_they_do_in_generated_modules(granularity: str, seed: int) -> None:
    choose = seeded(f"look {seed}")
    module = load(Generator(choose, 60).module())
    for _ in range(2):
        check_looking(case_of(module, choose, 3), granularity)


@each_path_and_granularity
@pytest.mark.parametrize("seed", range(6))
def test_a_run_that_changes_paths_fires_each_probe_once(
    seed: int, path: str, granularity: str
) -> None:
    choose = seeded(f"move {seed}")
    module = load(Generator(choose, 60).module())
    case = case_of(module, choose, 3)
    whole: list[Any] = []
    run = started(case, path, granularity)
    looking(run, case.matches, whole)
    ending = ended(run)
    for number in sorted({1, 2, 1 + passed(run) // 2, max(1, passed(run) - 1)}):
        run = started(case, path, granularity)
        run.requests.count_from(0, number)
        log: list[Any] = []
        looking(run, case.matches, log)
        if ended(run)[0] == "stopped":
            other = next_path(path, stopping_at(granularity))
            run = restore(module, run.checkpoint(), imports_of(module), path=other)
            assert run.requests.passed is not None
            run.requests.stop_at(LIMIT[granularity])
            looking(run, case.matches, log)
            assert ended(run) == ending
        assert log == whole


# Probes that act.


@dataclass
class Actor:
    """Probes that do something at some of their firings: what, goes by how many there were."""

    run: Run
    case: Case
    seed: int
    log: list[Any] = field(default_factory=list)
    live: list[Probe] = field(default_factory=list)
    added: int = 0

    def add(self, writes: bool) -> None:
        match = self.case.matches[self.added % len(self.case.matches)]
        number, self.added = self.added, self.added + 1
        action = self.action(number, writes)
        self.live.append(self.run.instance.probe(match, action, writes=writes))

    def action(self, number: int, writes: bool) -> Any:
        def act(at: At) -> None:
            self.log.append((number, seen(at)))
            choose = seeded(f"{self.seed} {len(self.log)}")
            what = choose(12)
            if what == 0:
                at.stop()
            elif what == 1 and len(self.live) < 6:
                self.add(bool(choose(2)))
            elif what == 2 and len(self.live) > 1:
                self.live.pop(choose(len(self.live))).remove()
            elif what == 3 and choose(8) == 0:
                at.trap("drawn")
            elif what > 7 and writes:
                change(at, choose)
            if writes and len(at.memory()) > 8 and what % 2:
                at.memory().write(choose(8), bytes((choose(256),)))

        return act


def change(at: At, choose: Choose) -> None:
    operands, locals_ = len(at.operands), len(at.locals)
    if operands and choose(2):
        index = choose(operands)
        at.set_operand(index, drawn(at.operand_types[index], choose))
    elif locals_:
        index = choose(locals_)
        at.set_local(index, drawn(at.local_types[index], choose))
    elif at.globals:
        index = choose(len(at.globals))
        at.set_global(index, drawn(at.instance.globals[index].type.type, choose))


def drawn(valtype: ValType, choose: Choose) -> Any:
    if valtype is I32 or valtype is I64:
        return (0, 1, 2, -1, 5, 1 << 31, choose(1 << 32))[choose(7)] & 0xFFFF_FFFF
    if valtype is F32:
        return f32_from_bits((0, 0x8000_0000, 0x7FC0_0001, choose(1 << 32))[choose(4)])
    if valtype is F64:
        return f64_from_bits((0, 1 << 63, 0x7FF4 << 48, choose(1 << 64))[choose(4)])
    return None


def check_acting(case: Case, granularity: str, seed: int) -> int:
    results = []
    for path in stopping_at(granularity):
        run = started(case, path, granularity)
        actor = Actor(run, case, seed)
        for _ in case.matches:
            actor.add(True)
        ending = ended(run)
        results.append((actor.log, ending, state_of(run.instance), passed(run)))
    for other in results[1:]:
        for left, right in zip(results[0], other, strict=True):
            assert left == right
    return len(results[0][0])


@both_granularities
@DRAWN
@given(choices(), st.integers(0, 1 << 16))
def test_probes_that_act_do_the_same_on_both_paths(
    granularity: str, choose: Choose, seed: int
) -> None:
    case = case_of(FIXED, choose, 1 + choose(4))
    note(repr(case))
    check_acting(case, granularity, seed)


@both_granularities
@pytest.mark.parametrize("seed", range(12))
def test_they_act_alike_in_generated_modules(granularity: str, seed: int) -> None:
    choose = seeded(f"act {seed}")
    module = load(Generator(choose, 60).module())
    for number in range(3):
        check_acting(case_of(module, choose, 3), granularity, 100 * seed + number)
