"""What can be asked of a run, and when: from inside what it calls, from other threads, after its
end. Whatever is refused changes nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import chiwawa
from chiwawa import (
    CheckpointError,
    HostError,
    Interrupted,
    Module,
    Run,
    RunError,
    Trap,
    WasiExit,
    instantiate,
    load,
    restore,
    start,
)
from chiwawa_runtime.engine.deep import has_room
from tests.path_helpers import PATHS, each_path

TEXT = """(module
  (import "h" "f" (func $f (param i32) (result i32)))
  (memory (export "m") 1)
  (global $calls (mut i32) (i32.const 0))
  (func $inner (param i32) (result i32)
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (i32.add (i32.const 5) (call $f (local.get 0))))
  (func (export "one") (param i32) (result i32)
    (i32.add (i32.const 10) (call $f (local.get 0))))
  (func $two (export "two") (param i32) (result i32)
    (i32.add (i32.const 10) (call $inner (local.get 0))))
  (func (export "three") (param i32) (result i32) (local $sum i32)
    (loop $again
      (local.set $sum (i32.add (local.get $sum) (call $two (local.get 0))))
      (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (local.get $sum))
  (func (export "traps") (result i32) (i32.load (i32.const -1)))
  (func (export "plain") (param i32) (result i32) (local.get 0))
  (func (export "count") (param $n i32) (result i32) (local $i i32)
    (loop $next
      (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))
      (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n))))
    (i32.load (i32.const 0)))
  (export "f" (func $f)))
"""


@pytest.fixture(scope="module")
def module() -> Module:
    return load(TEXT)


def begun(module: Module, path: str, name: str, args: Any, f: Callable[..., Any]) -> Run:
    return start(module, name, args, {"h": {"f": f}}, path=path)


def calm(number: int) -> int:
    return number


def caught(act: Callable[[], Any]) -> BaseException | None:
    try:
        act()
    except BaseException as error:
        return error
    return None


# Inside what the run calls.

#: Exports that call the host, with their results where it gives back what it gets.
CALLS = [("one", [3], [13]), ("two", [3], [18]), ("three", [2], [33]), ("f", [3], [3])]
WRITES: list[Callable[[Run], Any]] = [Run.checkpoint, Run.snapshot]


@each_path
@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize(("name", "args", "wanted"), CALLS)
def test_a_run_that_waits_for_the_host_is_not_written(
    module: Module, path: str, name: str, args: Any, wanted: Any, write: Any
) -> None:
    errors = []

    def f(number: int) -> int:
        errors.append(caught(lambda: write(run)))
        return number

    run = begun(module, path, name, args, f)
    assert run.go()
    assert run.results == wanted
    assert errors
    for error in errors:
        assert type(error) is CheckpointError
        assert str(error).startswith("the program is running, and waits for this call")
        assert "requests.ask()" in str(error)


@each_path
@pytest.mark.parametrize(("name", "args", "wanted"), CALLS)
def test_asked_for_inside_it_is_written_when_the_run_has_stopped(
    module: Module, path: str, name: str, args: Any, wanted: Any
) -> None:
    """As the refusal says."""

    def f(number: int) -> int:
        run.requests.ask()
        return number

    run = begun(module, path, name, args, f)
    while not run.go():
        assert "api" in run.requests.take()
        data = run.checkpoint()
        for other in PATHS:
            again = restore(module, data, {"h": {"f": calm}}, path=other)
            assert again.go()
            assert again.results == wanted
    assert run.results == wanted


@each_path
@pytest.mark.parametrize(("name", "args", "wanted"), CALLS)
def test_a_run_cannot_go_on_inside_what_it_calls(
    module: Module, path: str, name: str, args: Any, wanted: Any
) -> None:
    errors, results = [], []

    def f(number: int) -> int:
        errors.append(caught(run.go))
        results.append(caught(lambda: run.results))
        return number

    run = begun(module, path, name, args, f)
    assert run.go()
    assert run.results == wanted
    assert len(errors) == {"three": 2}.get(name, 1)
    for error in errors:
        assert type(error) is RunError
        assert str(error) == "the run is going on already, and waits for this call"
    assert {str(error) for error in results} == {"there are no results yet: the run has not ended"}


@each_path
def test_what_is_refused_inside_and_not_caught_ends_the_program(module: Module, path: str) -> None:
    run = begun(module, path, "two", [3], lambda number: run.go())
    with pytest.raises(HostError, match=r"host function h\.f: RunError: the run is going") as error:
        run.go()
    assert type(error.value.__cause__) is RunError


@each_path
def test_another_run_may_go_on_inside(module: Module, path: str) -> None:
    """One of another instance, and calls back into the same."""
    ends = []

    def f(number: int) -> int:
        other = begun(module, path, "two", [number], calm)
        other.requests.count_from(0, 2)
        assert not other.go()
        other.requests.take()
        again = restore(module, other.checkpoint(), {"h": {"f": calm}}, path=path)
        assert other.go()
        assert again.go()
        ends.append((other.results, again.results, run.instance.invoke("plain", [4])))
        return number

    run = begun(module, path, "two", [3], f)
    assert run.go()
    assert ends == [([18], [18], [4])]
    assert run.results == [18]


@each_path
def test_a_run_that_is_stopped_is_not_written_while_its_instance_is_called(
    module: Module, path: str
) -> None:
    errors = []

    def f(number: int) -> int:
        errors.append(caught(run.checkpoint))
        return number

    run = begun(module, path, "three", [2], f)
    run.requests.count_from(0, 2)
    assert not run.go()
    run.requests.take()
    assert run.instance.invoke("one", [1]) == [11]
    assert [type(error) for error in errors] == [CheckpointError]
    assert run.checkpoint()
    assert run.go()
    assert run.results == [33]


# Other threads.


class Elsewhere:
    """A call in another thread."""

    def __init__(self, act: Callable[[], Any]) -> None:
        self.error: BaseException | None = None
        self.result: Any = None
        self.act = act
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self) -> None:
        try:
            self.result = self.act()
        except BaseException as error:
            self.error = error

    def ended(self) -> Elsewhere:
        self.thread.join(60)
        assert not self.thread.is_alive()
        return self


class Holding:
    """A host function that waits inside until it is let go."""

    def __init__(self) -> None:
        self.inside = threading.Event()
        self.leave = threading.Event()

    def __call__(self, number: int) -> int:
        self.inside.set()
        assert self.leave.wait(60)
        return number


@pytest.fixture
def holding() -> Iterator[Holding]:
    made = Holding()
    yield made
    made.leave.set()


@each_path
@pytest.mark.parametrize(("name", "args", "wanted"), CALLS)
def test_another_thread_is_refused_while_a_run_goes_on(
    module: Module, path: str, name: str, args: Any, wanted: Any, holding: Holding
) -> None:
    run = begun(module, path, name, args, holding)
    going = Elsewhere(run.go)
    assert holding.inside.wait(60)
    for act in (run.go, lambda: run.instance.invoke("plain", [1])):
        error = caught(act)
        assert type(error) is RunError
        assert str(error).startswith("the instance is running in another thread")
    for write in WRITES:
        refused = caught(lambda write=write: write(run))  # type: ignore[misc]
        assert type(refused) is CheckpointError
        assert str(refused).startswith("the program is running in another thread")
    assert type(caught(lambda: run.results)) is RunError
    holding.leave.set()
    assert going.ended().result is True
    assert run.results == wanted
    assert run.go()
    assert run.instance.invoke("plain", [1]) == [1]


@each_path
def test_a_call_from_python_keeps_other_threads_out_too(
    module: Module, path: str, holding: Holding
) -> None:
    instance = instantiate(module, {"h": {"f": holding}}, path=path)
    calling = Elsewhere(lambda: instance.invoke("two", [3]))
    assert holding.inside.wait(60)
    assert type(caught(lambda: instance.invoke("two", [3]))) is RunError
    holding.leave.set()
    assert calling.ended().result == [18]
    assert instance.invoke("two", [4]) == [19]


@each_path
def test_a_thread_that_the_host_starts_is_another_one(module: Module, path: str) -> None:
    """It is not inside the call, even if the call waits for it."""
    inside = []

    def f(number: int) -> int:
        inside.append(Elsewhere(lambda: instance.invoke("plain", [1])).ended().error)
        inside.append(instance.invoke("plain", [1]))
        return number

    instance = instantiate(module, {"h": {"f": f}}, path=path)
    assert instance.invoke("one", [3]) == [13]
    assert [type(inside[0]), inside[1]] == [RunError, [1]]


@each_path
def test_a_program_that_has_a_thread_of_its_own_for_room_may_be_called_back(
    module: Module, path: str
) -> None:
    threads = []

    def f(number: int) -> int:
        threads.append(threading.current_thread())
        return number if number == 0 else instance.invoke("two", [number - 1])[0] % 5

    instance = instantiate(module, {"h": {"f": f}}, path=path)

    def deeper() -> Any:
        return deeper() if has_room() else instance.invoke("two", [40])

    assert deeper() == [15]
    assert len(threads) == 41
    assert set(threads) != {threading.current_thread()}
    assert instance.invoke("plain", [1]) == [1]


@each_path
def test_instances_that_import_functions_are_kept_together(path: str, holding: Holding) -> None:
    """And others are not: two that use a third at different times."""
    library = load("""(module (import "h" "f" (func $f (param i32) (result i32)))
      (func (export "held") (param i32) (result i32) (call $f (local.get 0)))
      (func (export "plain") (param i32) (result i32) (local.get 0)))""")
    module = load("""(module (import "l" "held" (func $held (param i32) (result i32)))
      (func (export "held") (param i32) (result i32) (call $held (local.get 0)))
      (func (export "plain") (param i32) (result i32) (local.get 0)))""")
    shared = instantiate(library, {"h": {"f": holding}}, path=path)
    first, second = (instantiate(module, {"l": shared.exports}, path=path) for _ in range(2))
    above = instantiate(module, {"l": second.exports}, path=path)
    assert second.invoke("plain", [1]) == [1]
    calling = Elsewhere(lambda: first.invoke("held", [1]))
    assert holding.inside.wait(60)
    for instance in (shared, first, second, above):
        assert type(caught(lambda i=instance: i.invoke("plain", [1]))) is RunError  # type: ignore[misc]
    separate = instantiate(library, {"h": {"f": calm}}, path=path)
    assert separate.invoke("held", [2]) == [2]
    holding.leave.set()
    assert calling.ended().result == [1]
    assert above.invoke("held", [1]) == [1]


class Slow:
    """Carried state that takes a moment to be written."""

    def __init__(self, write: Callable[[], Any]) -> None:
        self.write = write

    def __reduce__(self) -> Any:
        return self.write()


@each_path
def test_going_on_waits_for_a_checkpoint_that_another_thread_writes(
    module: Module, path: str
) -> None:
    """That ends, unlike a program."""
    written, writing, leave = [], threading.Event(), threading.Event()

    def write() -> Any:
        writing.set()
        assert leave.wait(60)
        # From here, it is inside, and still cannot go on.
        written.append(caught(run.go))
        return (int, ())

    carry = {"slow": Slow(write)}
    run = start(module, "count", [50], {"h": {"f": calm}}, path=path, carry=carry)
    run.requests.count_from(0, 20)
    assert not run.go()
    assert run.requests.take() == ["count"]
    saving = Elsewhere(run.checkpoint)
    assert writing.wait(60)
    going = Elsewhere(run.go)
    leave.set()
    assert going.ended().result is True
    assert run.results == [50]
    data = saving.ended().result
    assert [type(error) for error in written] == [RunError]
    again = restore(module, data, {"h": {"f": calm}}, path=path)
    assert again.go()
    assert again.results == [50]


@each_path
def test_many_threads_at_one_run_and_at_their_own(module: Module, path: str) -> None:
    """Whoever was refused tries again; nobody gets in the way of the results."""
    shared = instantiate(module, {"h": {"f": calm}}, path=path)

    def work() -> list[Any]:
        own = instantiate(module, {"h": {"f": calm}}, path=path)
        results = []
        for _ in range(5):
            results += own.invoke("count", [20])
            while True:
                try:
                    shared.invoke("count", [20])
                    break
                except RunError:
                    continue
        return results

    threads = [Elsewhere(work) for _ in range(4)]
    for thread in threads:
        assert thread.ended().result == [20, 40, 60, 80, 100]
    assert shared.memory().read(0, 4) == (400).to_bytes(4, "little")


# Ends.

ENDS: list[tuple[str, Any, str]] = [
    ("traps", calm, "a trap: out of bounds memory access"),
    ("two", Trap("of the host"), "a trap: of the host"),
    ("two", WasiExit(3), "WasiExit: exit status 3"),
    ("two", ValueError("of the host"), "HostError: host function h.f: ValueError: of the host"),
    ("f", ValueError("of the host"), "HostError: host function h.f: ValueError: of the host"),
    ("two", KeyboardInterrupt(), "KeyboardInterrupt"),
    ("f", KeyboardInterrupt(), "KeyboardInterrupt"),
    ("two", SystemExit(4), "SystemExit: 4"),
]


@each_path
@pytest.mark.parametrize(("name", "raised", "end"), ENDS)
def test_after_an_end_that_is_no_return_there_is_nothing_to_go_on_with(
    module: Module, path: str, name: str, raised: Any, end: str
) -> None:
    def f(number: int) -> int:
        if isinstance(raised, BaseException):
            raise raised
        return number

    run = begun(module, path, name, [] if name == "traps" else [1], f)
    first = caught(run.go)
    assert first is not None
    assert end.removeprefix("a trap: ").endswith(str(first).partition("\n")[0])
    assert run.finished
    for _ in range(2):
        with pytest.raises(RunError) as error:
            run.go()
        assert str(error.value) == f"the run has ended with {end}"
        with pytest.raises(RunError) as error:
            _ = run.results
        assert str(error.value) == f"there are no results: the run ended with {end}"
        with pytest.raises(CheckpointError, match="the program has ended"):
            run.checkpoint()
    # The instance is not the run's alone.
    assert run.instance.invoke("plain", [1]) == [1]


@each_path
def test_a_restored_run_that_traps_has_ended_as_well(module: Module, path: str) -> None:
    run = begun(module, path, "two", [1], calm)
    run.requests.count_from(0, 2)
    assert not run.go()
    run.requests.take()

    def f(number: int) -> int:
        raise Trap("of the host")

    again = restore(module, run.checkpoint(), {"h": {"f": f}}, path=path)
    assert type(caught(lambda: again.results)) is RunError
    assert type(caught(again.go)) is Trap
    assert str(caught(again.go)) == "the run has ended with a trap: of the host"


@each_path
def test_a_run_that_has_returned_stays_so(module: Module, path: str) -> None:
    run = begun(module, path, "two", [1], calm)
    with pytest.raises(RunError, match="no results yet"):
        _ = run.results
    for _ in range(3):
        assert run.go()
        assert run.results == [16]


# A host function that does not want to be called yet.


class NotYet:
    """Raises Interrupted the first ``times`` times it is called."""

    def __init__(self, times: int) -> None:
        self.left = times
        self.calls = 0

    def __call__(self, number: int) -> int:
        self.calls += 1
        if self.left:
            self.left -= 1
            raise Interrupted
        return number


@each_path
@pytest.mark.parametrize("granularity", ["safepoint", "instruction"])
@pytest.mark.parametrize(("name", "args", "wanted"), CALLS)
def test_interrupted_stops_a_run_that_nobody_asked_to_stop(
    module: Module, path: str, name: str, args: Any, wanted: Any, granularity: str
) -> None:
    f = NotYet(2)
    run = start(module, name, args, {"h": {"f": f}}, path=path, granularity=granularity)
    files = []
    for count in (1, 2):
        assert not run.go()
        assert f.calls == count
        assert run.requests.take() == []
        files.append(run.checkpoint())
    assert files[0] == files[1]
    for other in PATHS:
        again = restore(module, files[0], {"h": {"f": calm}}, path=other)
        assert again.go()
        assert again.results == wanted
    assert run.go()
    assert run.results == wanted


@each_path
@pytest.mark.parametrize(("name", "args", "wanted"), CALLS)
def test_interrupted_is_an_error_in_a_call_that_cannot_stop(
    module: Module, path: str, name: str, args: Any, wanted: Any
) -> None:
    f = NotYet(1)
    instance = instantiate(module, {"h": {"f": f}}, path=path)
    with pytest.raises(HostError, match="raised Interrupted, though nothing was asked") as error:
        instance.invoke(name, args)
    assert type(error.value.__cause__) is Interrupted
    assert f.calls == 1
    assert instance.invoke(name, args) == wanted


@each_path
def test_interrupted_in_a_call_back_is_an_error_of_the_host_function(
    module: Module, path: str
) -> None:
    def f(number: int) -> int:
        if number == 2:
            raise Interrupted
        return int(run.instance.invoke("one", [2])[0])

    run = begun(module, path, "one", [1], f)
    with pytest.raises(HostError, match="raised Interrupted, though nothing was asked"):
        run.go()


ABOVE = """(module
  (import "l" "f" (func $f (param i32) (result i32)))
  (import "l" "tab" (table 1 funcref))
  (export "f" (func $f))
  (func (export "direct") (param i32) (result i32)
    (i32.add (i32.const 10) (call $f (local.get 0))))
  (func (export "indirect") (param i32) (result i32)
    (i32.add (i32.const 10)
      (call_indirect (param i32) (result i32) (local.get 0) (i32.const 0)))))"""
BELOW = """(module
  (import "h" "f" (func $f (param i32) (result i32)))
  (table (export "tab") 1 funcref) (elem (i32.const 0) $g)
  (global (export "count") (mut i32) (i32.const 0))
  (func $g (export "f") (param i32) (result i32)
    (global.set 0 (i32.add (global.get 0) (i32.const 1)))
    (i32.add (i32.const 1) (call $f (local.get 0)))))"""


@pytest.mark.parametrize("asks", [True, False])
@pytest.mark.parametrize("name", ["direct", "indirect", "f"])
@pytest.mark.parametrize("below", PATHS)
@pytest.mark.parametrize("above", PATHS)
def test_interrupted_through_another_instance_stops_the_run_too(
    above: str, below: str, name: str, asks: bool
) -> None:
    """What that instance did before the call is not done again."""
    not_yet = NotYet(2)

    def f(number: int) -> int:
        if asks and not_yet.left:
            run.requests.ask()
        return not_yet(number)

    library = instantiate(load(BELOW), {"h": {"f": f}}, path=below)
    run = start(load(ABOVE), name, [3], {"l": library.exports}, path=above)
    for _ in range(2):
        assert not run.go()
        assert run.requests.take() == ["api"] * asks
        assert type(caught(run.checkpoint)) is CheckpointError
    assert run.go()
    assert not_yet.calls == 3
    assert run.results == [4 if name == "f" else 14]
    assert library.exports["count"].value == 1  # type: ignore[union-attr]
    not_yet.left, asks = 1, False
    with pytest.raises(HostError, match="raised Interrupted, though nothing was asked"):
        run.instance.invoke(name, [3])


@pytest.mark.parametrize("below", PATHS)
@pytest.mark.parametrize("above", PATHS)
def test_a_request_to_the_other_instance_does_not_keep_its_host_from_waiting(
    above: str, below: str
) -> None:
    """In a call from Python, which cannot stop: whoever asked is still to be heard."""
    calls = []

    def f(number: int) -> int:
        calls.append(number)
        if len(calls) == 1:
            library.requests.ask()
        if library.requests.pending:
            raise Interrupted
        return number

    library = instantiate(load(BELOW), {"h": {"f": f}}, path=below)
    instance = instantiate(load(ABOVE), {"l": library.exports}, path=above)
    assert instance.invoke("direct", [3]) == [14]
    assert calls == [3, 3]
    assert library.requests.take() == ["api"]
    assert library.exports["count"].value == 1  # type: ignore[union-attr]


@pytest.mark.parametrize("below", PATHS)
@pytest.mark.parametrize("above", PATHS)
def test_a_trap_in_another_instance_has_the_frames_of_both(above: str, below: str) -> None:
    def f(number: int) -> int:
        raise Trap("of the host")

    library = instantiate(load(BELOW), {"h": {"f": f}}, path=below)
    instance = instantiate(load(ABOVE), {"l": library.exports}, path=above)
    with pytest.raises(Trap) as error:
        instance.invoke("direct", [3])
    if (above, below) != ("aot", "interp"):
        assert [place.function for place in error.value.backtrace] == [1, 1]


@each_path
@pytest.mark.parametrize("pending", [True, False])
def test_a_request_does_not_keep_a_call_back_from_waiting(
    module: Module, path: str, pending: bool
) -> None:
    """A host function that waits, as WASI's do, until there is input or a request."""
    calls = []

    def f(number: int) -> int:
        calls.append(number)
        requests = run.instance.requests
        if number == 1:
            if pending:
                requests.ask("before")
            return int(run.instance.invoke("one", [2])[0])
        if len(calls) == 2 and not pending:
            requests.ask("inside")
        if requests.pending:
            raise Interrupted
        return 7

    run = begun(module, path, "two", [1], f)
    stops = []
    while not run.go():
        stops.append(run.requests.take())
    assert stops in ([], [["before"]], [["inside"]])
    assert run.results == [32]
    assert calls in ([1, 2], [1, 2, 2])


def test_the_errors_are_named() -> None:
    assert chiwawa.RunError is RunError
    assert issubclass(RunError, chiwawa.ChiwawaError)
