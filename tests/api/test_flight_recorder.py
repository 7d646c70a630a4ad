"""Core dumps and the flight recorder, from Python."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

import chiwawa
from chiwawa_runtime import checkpoint
from tests.cli.cli_helpers import ROOT
from tests.path_helpers import PATHS, each_path

#: Adds what the host gives it up, and divides by zero once that is over 5000.
CRASHING = """(module
  (import "host" "next" (func $next (param i32) (result i32)))
  (memory (export "memory") 1)
  (func $far (param i32) (result i32)
    (i32.store (i32.const 0) (local.get 0))
    (i32.div_u (i32.const 1000) (i32.lt_u (i32.load (i32.const 0)) (i32.const 5000))))
  (func (export "work") (local $sum i32)
    (loop $on
      (local.set $sum (i32.add (local.get $sum) (call $next (local.get $sum))))
      (drop (call $far (local.get $sum)))
      (br $on))))"""


class Numbers:
    def __init__(self) -> None:
        self.calls = 0

    def next(self, n: int) -> int:
        self.calls += 1
        return (n + self.calls) % 13

    def imports(self) -> dict[str, dict[str, Any]]:
        return {"host": {"next": self.next}}


def crashed(path: str, recorder: chiwawa.FlightRecorder, **more: Any) -> chiwawa.Run:
    run = chiwawa.start(
        chiwawa.load(CRASHING),
        "work",
        imports=Numbers().imports(),
        path=path,
        recorder=recorder,
        **more,
    )
    with pytest.raises(chiwawa.Trap, match="divide by zero"):
        run.go()
    return run


def test_a_core_dump_has_the_same_bytes_on_each_path() -> None:
    dumps = set()
    for path in PATHS:
        for recorder in (chiwawa.FlightRecorder(), chiwawa.FlightRecorder(3, 100)):
            crashed(path, recorder)
            dumps.add(recorder.core_dump())
            assert recorder.core_dump() in dumps
    (data,) = dumps
    frames = chiwawa.restore(chiwawa.load(CRASHING), data, Numbers().imports()).frames
    youngest, oldest = frames
    assert youngest.operands == (1000, 0)
    assert oldest.locals[0] >= 5000


@each_path
def test_what_was_recorded_comes_to_the_crash_again_on_each_path(path: str, tmp_path: Path) -> None:
    module = chiwawa.load(CRASHING)
    recorder = chiwawa.FlightRecorder(keep=2, every=100)
    with chiwawa.record_calls(tmp_path / "calls.rec") as calls:
        crashed(path, recorder, calls=calls)
    data = recorder.core_dump()
    before, known = recorder.record()
    known.save(tmp_path / "since.rec")
    first = checkpoint.decode(before).safepoints
    assert first is not None
    assert first % 100 == 0
    for other in PATHS:
        again = chiwawa.restore(
            module,
            before,
            path=other,
            calls=chiwawa.replay_calls(tmp_path / "since.rec"),
            recorder=(second := chiwawa.FlightRecorder()),
        )
        with pytest.raises(chiwawa.Trap, match="divide by zero"):
            again.go()
        assert second.core_dump() == data
        # The file has all calls from the start, whatever the recorder keeps.
        whole = chiwawa.start(
            module, "work", path=other, calls=chiwawa.replay_calls(tmp_path / "calls.rec")
        )
        with pytest.raises(chiwawa.Trap, match="divide by zero"):
            whole.go()


def resume_to_end(run: chiwawa.Run) -> None:
    while not run.resume(fuel=100):
        assert run.reasons == ["fuel"]


@each_path
def test_it_records_however_a_run_goes_on(path: str) -> None:
    expected = chiwawa.FlightRecorder()
    crashed(path, expected)
    module = chiwawa.load(CRASHING)
    stepwise, looping = (chiwawa.FlightRecorder(2, 70) for _ in range(2))
    calls = chiwawa.record_calls()
    imports = Numbers().imports()
    run = chiwawa.start(module, "work", imports=imports, path=path, recorder=stepwise, calls=calls)
    with pytest.raises(chiwawa.Trap, match="divide by zero"):
        resume_to_end(run)
    assert stepwise.core_dump() == expected.core_dump()
    # Calls that the embedder keeps in memory are kept from the start.
    again = chiwawa.start(module, "work", path=path, calls=chiwawa.replay_calls(calls))
    with pytest.raises(chiwawa.Trap, match="divide by zero"):
        again.go()
    run = chiwawa.start(module, "work", imports=Numbers().imports(), path=path, recorder=looping)
    with pytest.raises(chiwawa.Trap, match="divide by zero"):
        asyncio.run(run.go_async())
    assert looping.core_dump() == expected.core_dump()


@each_path
def test_what_a_host_function_fails_with_is_an_end_too(path: str) -> None:
    module = chiwawa.load('(module (import "host" "f" (func $f)) (func (export "g") (call $f)))')

    def f() -> None:
        raise ValueError("no")

    recorder = chiwawa.FlightRecorder()
    run = chiwawa.start(module, "g", imports={"host": {"f": f}}, path=path, recorder=recorder)
    with pytest.raises(chiwawa.HostError):
        run.go()
    (frame,) = chiwawa.restore(module, recorder.core_dump(), {"host": {"f": f}}).frames
    assert frame.offset > 0


@each_path
def test_where_there_is_nothing_it_says_so(path: str) -> None:
    recorder = chiwawa.FlightRecorder()
    with pytest.raises(chiwawa.CheckpointError, match="the run has not failed"):
        recorder.core_dump()
    with pytest.raises(chiwawa.CheckpointError, match="no run has been recorded"):
        recorder.record()
    module = chiwawa.load('(module (func (export "f")))')
    assert chiwawa.start(module, "f", path=path, recorder=recorder).go()
    with pytest.raises(chiwawa.CheckpointError, match="the run has not failed"):
        recorder.core_dump()
    with pytest.raises(chiwawa.BadInput, match="of one run"):
        chiwawa.start(module, "f", path=path, recorder=recorder)
    with pytest.raises(ValueError, match="at least one"):
        chiwawa.FlightRecorder(0)


@pytest.mark.parametrize("page", ["debugger.md", "call-record.md"])
def test_what_the_pages_show_runs(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    (snippet,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    taking = CRASHING.replace('(export "work") (local $sum', '(export "work") (param $sum')
    if page == "call-record.md":
        taking = taking.replace(
            "(br $on)", "(br_if $on (i32.lt_u (local.get $sum) (i32.const 99)))"
        )
    names: dict[str, Any] = {
        "chiwawa": chiwawa,
        "module": chiwawa.load(taking),
        "imports": Numbers().imports(),
    }
    exec(snippet.replace('"native"', repr(PATHS[-1])), names)
    again = names["again"]
    assert isinstance(again, chiwawa.Run)
    assert again.finished == (page == "call-record.md")
