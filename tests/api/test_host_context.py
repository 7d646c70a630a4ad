"""What a host function sees of the thread that called the program: it runs as if that had called
it, on either path, however deep the program is."""

from __future__ import annotations

import asyncio
import contextvars
import decimal
import threading
from collections.abc import Callable
from typing import Any

import pytest

from chiwawa import Interrupted, Module, instantiate, load, restore, start
from tests.path_helpers import IN_PYTHON, each_path

#: More frames than are on Python's stack at a time, and than it has room for.
depths = pytest.mark.parametrize("depth", [0, 1, 5000])

TEXT = """(module
  (import "h" "f" (func $f))
  (func $down (export "down") (param i32)
    (if (local.get 0)
      (then (call $down (i32.sub (local.get 0) (i32.const 1))))
      (else (call $f)))))"""

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


@pytest.fixture(scope="module")
def module() -> Module:
    return load(TEXT)


def in_new_context(function: Callable[[], Any]) -> Any:
    return contextvars.copy_context().run(function)


@each_path
@depths
def test_a_host_function_sees_and_sets_the_callers_context(
    module: Module, path: str, depth: int
) -> None:
    seen = []

    def f() -> None:
        seen.append(variable.get())
        variable.set("by the host")

    def caller() -> None:
        instance = instantiate(module, {"h": {"f": f}}, path=path)
        variable.set("by the caller")
        instance.invoke("down", [depth])
        seen.append(variable.get())
        variable.set("by the caller again")
        instance.invoke("down", [depth])

    in_new_context(caller)
    assert seen == ["by the caller", "by the host", "by the caller again"]
    assert variable.get() == "unset"


@pytest.mark.parametrize("path", IN_PYTHON)
@depths
def test_a_host_function_runs_in_the_callers_thread(module: Module, path: str, depth: int) -> None:
    local = threading.local()
    seen: list[tuple[object, object]] = []

    def f() -> None:
        seen.append((threading.current_thread(), getattr(local, "value", None)))
        local.value = "by the host"

    instance = instantiate(module, {"h": {"f": f}}, path=path)

    def caller() -> None:
        local.value = "by the caller"
        instance.invoke("down", [depth])
        seen.append((threading.current_thread(), local.value))

    threads = [threading.Thread(target=caller) for _ in range(2)]
    for thread in threads:
        thread.start()
        thread.join()
    assert seen == [
        (thread, value) for thread in threads for value in ("by the caller", "by the host")
    ]


@each_path
@depths
def test_a_host_function_called_within_a_coroutine_finds_its_loop_and_task(
    module: Module, path: str, depth: int
) -> None:
    seen: list[object] = []
    called = []

    def f() -> None:
        loop = asyncio.get_running_loop()
        seen.extend([loop, asyncio.current_task()])
        loop.call_soon(called.append, depth)

    async def main() -> list[object]:
        instantiate(module, {"h": {"f": f}}, path=path).invoke("down", [depth])
        # What the host function has scheduled is called by the loop.
        await asyncio.sleep(0)
        return [asyncio.get_running_loop(), asyncio.current_task()]

    assert asyncio.run(main()) == seen
    assert called == [depth]


@each_path
@depths
def test_each_go_of_a_run_has_the_context_of_its_caller(
    module: Module, path: str, depth: int
) -> None:
    """Not that of the call before, nor of the process that wrote the checkpoint."""
    seen: list[str] = []

    def f() -> None:
        seen.append(variable.get())
        if len(seen) % 2:
            raise Interrupted

    def go(run: Any, value: str) -> bool:
        variable.set(value)
        return bool(run.go())

    run = start(module, "down", [depth], {"h": {"f": f}}, path=path)
    assert not in_new_context(lambda: go(run, "first"))
    data = run.checkpoint()
    assert in_new_context(lambda: go(run, "second"))
    again = restore(module, data, {"h": {"f": f}}, path=path)
    assert not in_new_context(lambda: go(again, "third"))
    assert in_new_context(lambda: go(again, "fourth"))
    assert seen == ["first", "second", "third", "fourth"]


@each_path
def test_a_host_function_computes_with_the_callers_decimal_context(
    module: Module, path: str
) -> None:
    seen = []

    def f() -> None:
        seen.append(decimal.Decimal(1) / 3)

    instance = instantiate(module, {"h": {"f": f}}, path=path)
    with decimal.localcontext() as context:
        context.prec = 4
        instance.invoke("down", [3])
    assert seen == [decimal.Decimal("0.3333")]
