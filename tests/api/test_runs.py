"""What can be asked of a run, and when: from inside what it calls, and after its end. Whatever is
refused changes nothing."""

from __future__ import annotations

from typing import Any

import pytest

import chiwawa
from chiwawa import (
    CheckpointError,
    HostError,
    Interrupted,
    Module,
    RunError,
    Trap,
    WasiExit,
    instantiate,
    load,
    restore,
    start,
)
from tests.api.run_helpers import CALLS, TEXT, WRITES, begun, calm, caught
from tests.path_helpers import (
    PATHS,
    SHARING,
    each_path,
    each_path_and_granularity,
)


@pytest.fixture(scope="module")
def module() -> Module:
    return load(TEXT)


# Inside what the run calls.


#: Exports that call the host, with their results where it gives back what it gets.
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
def test_an_interrupted_call_is_made_again_with_what_it_was_given(path: str) -> None:
    module = load("""(module
      (import "h" "f"
        (func $f (param externref i32 funcref) (result externref funcref i32)))
      (func $g)
      (elem declare func $g)
      (func (export "run") (param externref) (result externref i32 i32) (local $n i32)
        (call $f (local.get 0) (i32.const 7) (ref.func $g))
        (local.set $n)
        (ref.is_null)
        (local.get $n)))""")
    given: list[Any] = []

    def f(thing: object, number: int, function: Any) -> Any:
        given.append((thing, number, function.index))
        if len(given) == 1:
            raise Interrupted
        return thing, function, number

    run = start(module, "run", ["a thing"], {"h": {"f": f}}, path=path)
    assert not run.go()
    assert run.go()
    assert given == [("a thing", 7, 1)] * 2
    assert run.results == ["a thing", 0, 7]


@each_path_and_granularity
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
  (export "f" (func $f))
  (func (export "direct") (param i32) (result i32)
    (i32.add (i32.const 10) (call $f (local.get 0)))))"""
ABOVE_A_TABLE = """(module
  (import "l" "tab" (table 1 funcref))
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


#: What is called, on which paths. What comes out of another one's table cannot stop in machine code
#: (``test_native_state.py``).
THROUGH = [
    *(("direct", below, above) for below in PATHS for above in PATHS),
    *(("f", below, above) for below in PATHS for above in PATHS),
    *(("indirect", below, above) for below, above in SHARING if above != "native"),
]


@pytest.mark.parametrize("asks", [True, False])
@pytest.mark.parametrize(("name", "below", "above"), THROUGH)
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
    text = ABOVE_A_TABLE if name == "indirect" else ABOVE
    run = start(load(text), name, [3], {"l": library.exports}, path=above)
    for _ in range(2):
        assert not run.go()
        assert run.requests.take() == ["api"] * asks
        data = run.checkpoint()
    host = {"h": {"f": lambda number: number}}
    again = restore(load(text), data, host, path="interp", modules=[load(BELOW)])
    assert run.go()
    assert again.go()
    assert again.results == run.results
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
    # Translated code finds its frames in Python's traceback, where those of others are not.
    if above != "aot" or below == "aot":
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
