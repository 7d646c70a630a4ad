"""Probes that stop a run, have it write a checkpoint, or trap; and what they raise."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from chiwawa import (
    At,
    CheckpointError,
    HostError,
    Instruments,
    Match,
    Module,
    RunError,
    Stopped,
    Trap,
    instantiate,
    restore,
)
from chiwawa.source import load
from chiwawa_runtime.run.instance import Run
from tests.instrument.probe_helpers import (
    TEXT,
    both_granularities,
    ended,
    logging,
    offsets,
    passed,
    place,
    start,
    through,
)
from tests.path_helpers import each_path, each_path_and_granularity, next_path, stopping_at

PLAIN, SUM, FIB = 0, 1, 3


@cache
def module() -> Module:
    return load(TEXT)


def where(run: Run) -> tuple[int, int]:
    """The youngest frame's boundary."""
    assert run.activation is not None
    frame = run.activation.frames()[0]
    return frame.function, frame.offset


@pytest.mark.parametrize(("ask", "reason"), [(At.stop, "stop"), (At.checkpoint, "probe")])
@pytest.mark.parametrize("writes", [False, True])
@each_path_and_granularity
def test_a_run_stops_at_a_safepoint_where_a_probe_wants_it_to(
    path: str, granularity: str, writes: bool, ask: Any, reason: str
) -> None:
    loop = SUM, offsets(module(), SUM, "loop")[0]
    run = start(module(), "sum", (3,), path, granularity)
    log: list[int] = []

    def action(at: At) -> None:
        log.append(at.locals[0])
        ask(at)

    run.instance.probe(Match(at=loop), action, writes=writes)
    for n in (3, 2, 1, 0):
        assert not run.go()
        assert run.requests.take() == [reason]
        assert where(run) == loop
        assert log == list(range(3, n - 1, -1))
    assert run.go()
    assert run.results == [4]
    assert log == [3, 2, 1, 0]


@each_path_and_granularity
def test_a_run_stops_at_the_next_safepoint_where_this_is_none(path: str, granularity: str) -> None:
    loop = SUM, offsets(module(), SUM, "loop")[0]
    sub = SUM, offsets(module(), SUM, "i32.sub")[0]
    run = start(module(), "sum", (3,), path, granularity)
    run.instance.probe(Match(at=sub), At.stop)
    for _ in range(3):
        assert not run.go()
        assert run.requests.take() == ["stop"]
        assert where(run) == (sub if granularity == "instruction" else loop)
    assert run.go()
    assert run.results == [4]


@each_path
def test_a_run_without_another_safepoint_ends(path: str) -> None:
    run = start(module(), "plain", (1, 2), path)
    run.instance.probe(Match(op="i32.add"), At.stop)
    assert run.go()
    assert run.results == [3]
    assert run.requests.take() == ["stop"]


@each_path_and_granularity
def test_a_run_stops_at_the_first_boundary_of_all(path: str, granularity: str) -> None:
    run = start(module(), "sum", (3,), path, granularity)
    run.instance.probe(Match(op="block"), At.stop)
    assert not run.go()
    assert where(run) == (SUM, module().funcs[SUM].body[0].offset)
    assert passed(run) == 1
    assert ended(run) == ("returned", 4)


@pytest.mark.parametrize("path", stopping_at("instruction"))
def test_where_everything_stops_each_boundary_is_a_stop(path: str) -> None:
    run = start(module(), "sum", (4,), path, "instruction")
    places: list[Any] = []
    run.instance.probe(Match(), At.stop)
    while not run.go():
        assert run.requests.take() == ["stop"]
        places.append(where(run))
        assert passed(run) == len(places)
    whole = start(module(), "sum", (4,), path, "instruction")
    log: list[Any] = []
    logging(whole, Match(), log, place)
    assert ended(whole) == ("returned", 4)
    assert places == log
    assert run.results == [4]


@each_path_and_granularity
def test_several_probes_may_want_it_at_once(path: str, granularity: str) -> None:
    run = start(module(), "sum", (1,), path, granularity)
    log: list[str] = []
    match = Match(op="loop", where=lambda at: at.locals[0] == 1)
    run.instance.probe(match, At.stop)
    run.instance.probe(match, At.checkpoint)
    logging(run, match, log, lambda at: "seen")
    run.instance.probe(match, At.stop)
    assert not run.go()
    assert run.requests.take() == ["stop", "probe", "stop"]
    assert log == ["seen"]
    assert run.go()
    assert log == ["seen"]


@pytest.mark.parametrize("added", ["nothing", "elsewhere", "here", "only here"])
@each_path_and_granularity
def test_a_probe_that_has_fired_does_not_fire_again_when_the_run_goes_on(
    path: str, granularity: str, added: str
) -> None:
    """Whatever was added and removed meanwhile; what is added there fires there."""
    loop = Match(op="loop", where=lambda at: at.locals[0] == 2)
    run = start(module(), "sum", (3,), path, granularity)
    log: list[str] = []
    # While firing, which is too late for this boundary.
    run.instance.probe(loop, lambda at: logging(run, loop, log, lambda at: "too late"))
    first = logging(run, loop, log, lambda at: (at.stop(), "first")[1])
    second = logging(run, loop, log, lambda at: "second")
    assert not run.go()
    assert log == ["first", "second"]
    if added == "elsewhere":
        logging(run, Match(op="i32.sub"), [], place).remove()
        logging(run, Match(op="i32.eqz"), [], place)
    elif added == "here":
        second.remove()
        logging(run, loop, log, lambda at: "third")
    elif added == "only here":
        first.remove()
        second.remove()
        logging(run, loop, log, lambda at: "third")
    run.requests.take()
    assert run.go()
    assert log[2:] == (["third"] if "here" in added.split() else [])
    assert run.results == [4]


@each_path_and_granularity
def test_a_call_while_the_run_is_stopped_is_another_firing(path: str, granularity: str) -> None:
    run = start(module(), "sum", (2,), path, granularity)
    log: list[tuple[int, ...]] = []

    def action(at: At) -> None:
        log.append(at.locals)
        at.stop()

    run.instance.probe(Match(op="loop"), action)
    assert not run.go()
    run.requests.take()
    assert through(run.instance, "sum", (1,)) == [1]
    assert log == [(2, 0), (1, 0), (0, 1)]
    log.clear()
    assert not run.go()
    run.requests.take()
    assert log == [(1, 0)]
    assert ended(run) == ("returned", 1)
    assert log == [(1, 0), (0, 1)]


# Checkpoints.


@both_granularities
@pytest.mark.parametrize("op", ["block", "loop"])
def test_the_checkpoint_is_that_of_a_stop_by_count(granularity: str, op: str) -> None:
    files = []
    counted = 0
    for path in stopping_at(granularity):
        for probed in (True, False):
            run = start(module(), "sum", (5,), path, granularity)
            if probed:
                number = 3 if op == "loop" else 5
                wanted = Match(op=op, where=lambda at, n=number: at.locals[0] == n)  # type: ignore[misc]
                run.instance.probe(wanted, At.checkpoint)
            else:
                run.requests.count_from(0, counted)
            assert not run.go()
            counted = passed(run)
            files.append(run.checkpoint())
    assert len(set(files)) == 1
    for path in stopping_at(granularity):
        log: list[Any] = []
        again = restore(module(), files[0], path=path)
        probe = again.instance.probe(Match(op=op), lambda at, log=log: log.append(at.locals[0]))  # type: ignore[misc]
        assert ended(again) == ("returned", 9)
        assert log == ([3, 2, 1, 0] if op == "loop" else [5])
        probe.remove()


@pytest.mark.parametrize("path", stopping_at("instruction"))
def test_every_boundary_can_be_written_and_carried_to_the_other_path(path: str) -> None:
    run = start(module(), "fib", (4,), path, "instruction")
    run.instance.probe(Match(group="call"), At.checkpoint)
    counting = start(
        module(), "fib", (4,), next_path(path, stopping_at("instruction")), "instruction"
    )
    stops = 0
    while not run.go():
        assert run.requests.take() == ["probe"]
        counting.requests.stop_at(passed(run))
        assert not counting.go()
        counting.requests.take()
        data = run.checkpoint()
        assert data == counting.checkpoint()
        assert ended(restore(module(), data, path=next_path(path))) == ("returned", 3)
        stops += 1
    assert stops == 8


@both_granularities
def test_what_a_probe_writes_where_it_stops_is_in_the_checkpoint(granularity: str) -> None:
    files = []
    for path in stopping_at(granularity):
        run = start(module(), "sum", (5,), path, granularity)

        def action(at: At) -> None:
            at.set_local(1, 1000)
            at.set_global(0, -1)
            at.memory().write(100, b"written")
            at.stop()

        match = Match(op="loop", where=lambda at: at.locals[0] == 3)
        run.instance.probe(match, action, writes=True)
        assert not run.go()
        files.append(run.checkpoint())
        run.requests.take()
        assert run.go()
        assert run.results == [1004]
        assert run.instance.memory().data[100:107] == b"written"
        assert run.instance.globals[0].value == 1
    assert files.count(files[0]) == len(files)
    for path in stopping_at(granularity):
        again = restore(module(), files[0], path=path)
        assert ended(again) == ("returned", 1004)
        assert again.instance.memory().data[100:107] == b"written"


@pytest.mark.parametrize("path", stopping_at("instruction"))
def test_operands_that_a_probe_writes_where_it_stops_are_kept(path: str) -> None:
    run = start(module(), "plain", (1, 2), path, "instruction")

    def action(at: At) -> None:
        at.set_operand(0, 40)
        at.stop()

    run.instance.probe(Match(op="i32.add"), action, writes=True)
    assert not run.go()
    run.requests.take()
    assert ended(
        restore(module(), run.checkpoint(), path=next_path(path, stopping_at("instruction")))
    ) == ("returned", 42)
    assert ended(run) == ("returned", 42)


# Traps and errors.


@both_granularities
def test_a_trap_has_the_message_and_the_place(granularity: str) -> None:
    traces = []
    for path in stopping_at(granularity):
        run = start(module(), "sum", (3,), path, granularity)
        match = Match(op="i32.add", function="plain")
        run.instance.probe(match, lambda at: at.trap("no sums today"))
        with pytest.raises(Trap) as raised:
            run.go()
        assert raised.value.message == "no sums today"
        traces.append([(f.function, f.offset, f.name) for f in raised.value.backtrace])
    (call,) = offsets(module(), SUM, "call")
    (add,) = offsets(module(), PLAIN, "i32.add")
    assert traces == [[(PLAIN, add, "plain"), (SUM, call, "sum")]] * len(traces)


@both_granularities
@pytest.mark.parametrize("op", ["block", "loop", "br_if", "if", "call", "br", "return"])
@pytest.mark.parametrize("writes", [False, True])
def test_a_trap_is_at_its_boundary_wherever_that_is(
    granularity: str, op: str, writes: bool
) -> None:
    for path in stopping_at(granularity):
        run = start(module(), "sum", (3,), path, granularity)
        run.instance.probe(Match(op=op, function=SUM), lambda at: at.trap("here"), writes=writes)
        with pytest.raises(Trap, match="here") as raised:
            run.go()
        found = [(f.function, f.offset) for f in raised.value.backtrace]
        assert found == [(SUM, offsets(module(), SUM, op)[0])], path


@pytest.mark.parametrize("what", ["action", "where"])
@pytest.mark.parametrize(
    "error", [IndexError("i"), ZeroDivisionError("z"), OverflowError("o"), KeyError("k")]
)
@each_path_and_granularity
def test_what_a_probe_raises_is_the_cause_of_a_host_error(
    path: str, granularity: str, error: Exception, what: str
) -> None:
    """Some of it would be a trap if the program had raised it."""

    def fails(at: At) -> bool:
        raise error

    instance = instantiate(module(), path=path, granularity=granularity)
    match = Match(op="i32.add", where=fails if what == "where" else None)
    probe = instance.probe(match, fails)
    with pytest.raises(HostError) as raised:
        instance.invoke("plain", (1, 2))
    assert raised.value.__cause__ is error
    assert str(raised.value) == f"a probe: {type(error).__name__}: {error}"
    probe.remove()
    assert instance.invoke("plain", (1, 2)) == [3]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("export", ["plain", "fib"])
@each_path
def test_what_is_no_error_passes(path: str, export: str, error: type[BaseException]) -> None:
    def fails(at: At) -> None:
        raise error

    instance = instantiate(module(), path=path)
    probe = instance.probe(Match(group="arithmetic"), fails)
    args = (3, 4) if export == "plain" else (3,)
    with pytest.raises(error):
        instance.invoke(export, args)
    probe.remove()
    assert instance.invoke("plain", (1, 2)) == [3]


@each_path
def test_an_error_wins_over_a_stop_in_the_same_action(path: str) -> None:
    run = start(module(), "sum", (3,), path)

    def action(at: At) -> None:
        at.stop()
        at.trap("instead")

    run.instance.probe(Match(op="loop"), action)
    with pytest.raises(Trap, match="instead"):
        run.go()
    assert run.requests.take() == []


@pytest.mark.parametrize("op", ["loop", "i32.sub"])
@each_path_and_granularity
def test_a_stop_in_a_plain_call_stops_it(path: str, op: str, granularity: str) -> None:
    instance = instantiate(module(), path=path, granularity=granularity)
    log: list[int] = []

    def action(at: At) -> None:
        log.append(at.locals[0])
        at.stop()

    instance.probe(Match(op=op), action)
    with pytest.raises(Stopped) as caught:
        instance.invoke("sum", (3,))
    assert caught.value.reasons == ["stop"]
    assert log == [3]
    data = caught.value.run.checkpoint()
    run = caught.value.run
    while not run.go():
        assert run.requests.take() == ["stop"]
    assert run.results == [4]
    again = restore(module(), data, path=path)
    assert again.go()
    assert again.results == [4]
    assert log == ([3, 2, 1, 0] if op == "loop" else [3, 2, 1])
    assert instance.requests.take() == []


@pytest.mark.parametrize("export", ["sum", "fib"])
@each_path
def test_a_run_that_was_broken_off_in_the_middle_has_ended(path: str, export: str) -> None:
    run = start(module(), export, (3,), path)

    def fails(at: At) -> None:
        raise KeyboardInterrupt

    run.instance.probe(Match(op="i32.sub"), fails)
    with pytest.raises(KeyboardInterrupt):
        run.go()
    assert run.finished
    with pytest.raises(
        RunError, match="there are no results: the run ended with KeyboardInterrupt"
    ):
        _ = run.results
    with pytest.raises(CheckpointError, match="the program has ended"):
        run.checkpoint()


# Instruments that are there from the start, and runs that come from elsewhere.


@each_path_and_granularity
def test_probes_added_to_instruments_beforehand_see_the_start_function(
    path: str, granularity: str
) -> None:
    starting = load('(module (start $s) (func $s (nop)) (func (export "f") (nop)))')
    log: list[Any] = []
    instruments = Instruments(starting)
    gone = instruments.probe(Match(), lambda at: log.append("gone"))
    instruments.probe(Match(op="nop"), lambda at: log.append(at.name))
    gone.remove()
    instance = instantiate(starting, path=path, granularity=granularity, instruments=instruments)
    assert log == ["s"]
    instance.invoke("f")
    assert log == ["s", "f"]


@pytest.mark.parametrize("op", ["i32.sub", "br"])
@pytest.mark.parametrize("path", stopping_at("instruction"))
def test_a_stop_on_the_way_to_a_safepoint_is_kept(path: str, op: str) -> None:
    """Generated code can be entered at safepoints only: what lies before is run by the other."""
    run = start(module(), "sum", (3,), path, "instruction")
    run.instance.probe(Match(op="i32.sub"), At.checkpoint)
    assert not run.go()
    log: list[int] = []
    instruments = Instruments(module())

    def action(at: At) -> None:
        log.append(at.locals[0])
        at.stop()

    instruments.probe(Match(op=op), action)
    again = restore(
        module(), run.checkpoint(), path=path, granularity="safepoint", instruments=instruments
    )
    assert not again.go()
    assert again.requests.take() == ["stop"]
    assert where(again) == (SUM, offsets(module(), SUM, "loop")[0])
    assert log == [3 if op == "i32.sub" else 2]
    assert ended(again) == ("returned", 4)
    assert len(log) == 3


@each_path
def test_what_was_counted_elsewhere_travels_on_beside_probes(path: str) -> None:
    instruments = Instruments(module(), monitors=("icount",))
    run = start(module(), "sum", (5,), path, instruments=instruments)
    run.requests.count_from(0, 2)
    assert not run.go()
    again = restore(module(), run.checkpoint(), path=path)
    unread = again.snapshot().monitors
    assert unread is not None
    log: list[Any] = []
    logging(again, Match(op="i32.sub", where=lambda at: at.locals[0] == 3), log, At.stop)
    assert again.snapshot().monitors == unread
    assert not again.go()
    assert again.snapshot().monitors == unread
