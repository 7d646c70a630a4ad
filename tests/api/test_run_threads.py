"""What can be asked of a run from other threads. Whatever is refused changes nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chiwawa import (
    CheckpointError,
    Module,
    RunError,
    instantiate,
    load,
    restore,
    start,
)
from chiwawa_runtime.engine.deep import has_room
from tests.api.run_helpers import CALLS, TEXT, WRITES, begun, calm, caught
from tests.path_helpers import each_path


@pytest.fixture(scope="module")
def module() -> Module:
    return load(TEXT)


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
