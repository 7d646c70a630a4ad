"""A WASI program that waits in an event loop: the loop goes on, and the program stands before the
call."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator

import pytest

from chiwawa import Run, Wasi, WasiExit, load, restore, start
from chiwawa_runtime.wasi import waiting
from tests.path_helpers import IN_PYTHON, PATHS, each_path, next_path

#: Reads up to eight bytes of its standard input, and exits with what the first one is.
READING = load("""(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 64))
    (i32.store (i32.const 4) (i32.const 8))
    (if (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8))
      (then (unreachable)))
    (call $exit (i32.load8_u (i32.const 64)))))""")

#: Sleeps for so many nanoseconds.
SLEEPING = load("""(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "sleep") (param i64) (result i32)
    (i32.store (i32.const 16) (i32.const 1))
    (i64.store (i32.const 24) (local.get 0))
    (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))
    (i32.load (i32.const 128))))""")

#: Writes so many bytes to its standard output, as many at a time as that takes.
WRITING = load("""(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 16)
  (func (export "write") (param $left i32) (result i32) (local $calls i32)
    (loop $more
      (i32.store (i32.const 0) (i32.const 64))
      (i32.store (i32.const 4) (local.get $left))
      (if (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))
        (then (unreachable)))
      (local.set $calls (i32.add (local.get $calls) (i32.const 1)))
      (local.set $left (i32.sub (local.get $left) (i32.load (i32.const 8))))
      (br_if $more (local.get $left)))
    (local.get $calls)))""")

HOUR = 3600 * 10**9


@contextlib.contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    try:
        yield reader, writer
    finally:
        os.close(reader)
        with contextlib.suppress(OSError):
            os.close(writer)


def reading(stdin: int, path: str) -> Run:
    return start(READING, "_start", wasi=Wasi(stdin=stdin), path=path)


async def status(run: Run) -> int:
    with pytest.raises(WasiExit) as ended:
        await run.go_async()
    return ended.value.code


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """One for each time that an event loop has waited."""
    seen: list[None] = []
    come = waiting._come

    async def coming(*args: object) -> None:
        seen.append(None)
        await come(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(waiting, "_come", coming)
    return seen


@each_path
def test_programs_read_pipes_that_are_written_to_later(path: str, waits: list[None]) -> None:
    async def main() -> list[int]:
        with pipe() as first, pipe() as second:
            runs = [reading(pair[0], path) for pair in (first, second)]

            async def others() -> None:
                for pair, text in ((second, b"b"), (first, b"a")):
                    await asyncio.sleep(0)
                    os.write(pair[1], text)

            one, other, _ = await asyncio.gather(status(runs[0]), status(runs[1]), others())
            return [one, other]

    assert asyncio.run(main()) == [97, 98]
    assert bool(waits) == (path in IN_PYTHON)


@each_path
def test_what_waits_for_input_is_stopped_before_the_call(path: str) -> None:
    async def main() -> bytes:
        with pipe() as (reader, _):
            run = reading(reader, path)
            task = asyncio.create_task(run.go_async())
            await asyncio.sleep(0)
            run.requests.ask()
            assert not await task
            assert run.requests.take() == ["api"]
            return run.checkpoint()

    data = asyncio.run(main())
    for other in PATHS:
        with pipe() as (reader, writer):
            os.write(writer, b"c")
            again = restore(READING, data, wasi=Wasi.load(data, stdin=reader), path=other)
            assert again.checkpoint() == data
            assert asyncio.run(status(again)) == 99


@pytest.mark.parametrize("path", IN_PYTHON)
def test_what_waits_is_cancelled_and_goes_on(path: str) -> None:
    async def main() -> int:
        with pipe() as (reader, writer):
            run = reading(reader, path)
            task = asyncio.create_task(run.go_async())
            await asyncio.sleep(0)
            data = run.checkpoint()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert run.checkpoint() == data
            os.write(writer, b"d")
            return await status(run)

    assert asyncio.run(main()) == 100


@each_path
def test_what_sleeps_lets_others_run_and_is_stopped(path: str) -> None:
    async def main() -> tuple[list[int], bytes]:
        sleeping = start(SLEEPING, "sleep", [HOUR], wasi=Wasi(), path=path)
        task = asyncio.create_task(sleeping.go_async())
        others = [start(SLEEPING, "sleep", [10**6], wasi=Wasi(), path=path) for _ in range(20)]
        await asyncio.gather(*(run.go_async() for run in others))
        assert not sleeping.finished
        sleeping.requests.ask()
        assert not await task
        sleeping.requests.take()
        return [run.results[0] for run in others], sleeping.checkpoint()

    results, data = asyncio.run(main())
    assert results == [1] * 20
    # It sleeps for what is left of the hour.
    second = next_path(path)
    again = restore(SLEEPING, data, wasi=Wasi.load(data), path=second)
    again.requests.ask()
    assert not again.go()


@each_path
def test_a_pipe_that_is_full_is_written_to_later(path: str) -> None:
    size = 500_000

    async def main() -> int:
        with pipe() as (reader, writer):
            os.set_blocking(reader, False)
            wasi = Wasi(stdout=writer)
            run = start(WRITING, "write", [size], wasi=wasi, path=path)
            task = asyncio.create_task(run.go_async())
            taken = 0
            while taken < size:
                await asyncio.sleep(0)
                with contextlib.suppress(BlockingIOError):
                    taken += len(os.read(reader, 1 << 16))
            assert await task
            assert taken == size
            return int(run.results[0])

    calls = asyncio.run(main())
    assert (calls > 1) == (path in IN_PYTHON)
