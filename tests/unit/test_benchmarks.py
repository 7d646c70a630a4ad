"""The benchmarks measure what they say: sizes fit, wrong results fail, ratios pair rounds."""

from __future__ import annotations

import struct
import sys

import pytest

from benchmarks import asyncify, table
from benchmarks.engines import ENGINES, PACKAGES
from benchmarks.handwritten import HANDWRITTEN
from benchmarks.measure import Cell, Column, judge, measure
from benchmarks.plain import plain_bundle
from benchmarks.samples import Sample, compute_samples
from chiwawa.api import instantiate
from chiwawa.source import load
from tests.need_helpers import need

SAMPLE = compute_samples()["pi"]


def column(engine: str) -> Column:
    return Column(engine, engine, sys.executable, 0.01)


def test_our_paths_and_the_handwritten_version_are_measured_in_processes_of_their_own() -> None:
    row = measure(SAMPLE, [column(e) for e in ("handwritten", "aot", "interp")], runs=2)
    for cell in row.values():
        assert cell.failure is None
        assert len(cell.seconds) == 2
        assert cell.result == HANDWRITTEN["pi"](cell.size)
    assert table.ratio(row, "aot", "handwritten") is not None


def test_an_engine_that_is_missing_fails_alone() -> None:
    absent = Column("absent", "absent", sys.executable, 0.01)
    row = measure(SAMPLE, [absent, column("handwritten")], runs=1)
    assert row["absent"].failure == "KeyError: 'absent'"
    assert row["handwritten"].failure is None
    assert "- pi, absent fails: KeyError: 'absent'" in table.render(
        [table.TOPICS["python"]], [column("handwritten")], {"pi": row}, [], []
    )


def test_another_result_than_the_reference_s_is_a_failure() -> None:
    class Reference:
        def run(self, size: int) -> dict[str, float]:
            return {"result": 2.0}

    cells = {"wasmtime": Cell(result=2.0), "right": Cell(result=2.0), "wrong": Cell(result=3.0)}
    judge(cells, Reference())  # type: ignore[arg-type]
    assert cells["right"].failure is None
    assert cells["wrong"].failure == "wrong result: 3.0, not 2.0"


def test_a_ratio_is_per_unit_of_work_and_pairs_the_rounds() -> None:
    row = {"a": Cell(10, 0.0, [2.0, 40.0, 2.0]), "b": Cell(100, 0.0, [2.0, 40.0, 4.0])}
    assert table.ratio(row, "a", "b") == pytest.approx(10.0)
    assert table.ratio(row, "a", "c") is None
    row["b"].failure = "it crashed"
    assert table.ratio(row, "a", "b") is None


def test_results_are_compared_unsigned() -> None:
    assert compute_samples()["sha256"].normalised([-1]) == 0xFFFFFFFF
    assert SAMPLE.normalised((3,)) == 3.0
    with pytest.raises(TypeError):
        SAMPLE.normalised(None)


@pytest.mark.parametrize("sample", compute_samples().values(), ids=lambda sample: sample.name)
def test_plain_and_handwritten_versions_do_the_same(sample: Sample) -> None:
    stoppable = instantiate(load(sample.file))
    wanted = sample.normalised(stoppable.invoke(sample.export, [sample.size]))
    plain = instantiate(plain_bundle(load(sample.file)))
    assert sample.normalised(plain.invoke(sample.export, [sample.size])) == wanted
    assert HANDWRITTEN[sample.name](sample.size) == wanted
    # None of its functions is a generator any more.
    assert not any(code.generator for code in plain_bundle(load(sample.file)).codes)


def test_every_engine_says_whose_version_matters() -> None:
    assert list(PACKAGES) == list(ENGINES)


@pytest.mark.needs("wasm-opt")
@pytest.mark.needs("wasmtime")
def test_what_asyncify_makes_can_be_stopped_at_our_safepoints(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import wasmtime

    monkeypatch.setattr(asyncify, "program", lambda: need("wasm-opt"))
    sample = compute_samples()["quicksort"]
    store = wasmtime.Store()
    binary = asyncify.asyncified(load(sample.file))
    calls: list[str] = []

    def call(name: str, *args: int) -> int:
        found = exports[name]
        assert isinstance(found, wasmtime.Func)
        result: int = found(store, *args)
        return result

    def stop() -> None:
        if call("asyncify_get_state") == 2:
            call("asyncify_stop_rewind")
            calls.append("went on")
        else:
            call("asyncify_start_unwind", room)
            calls.append("stopped")

    module = wasmtime.Module(store.engine, binary)
    imported = wasmtime.Func(store, wasmtime.FuncType([], []), stop)
    exports = wasmtime.Instance(store, module, [imported]).exports(store)
    cell, memory = exports[asyncify.CELL], exports["memory"]
    assert isinstance(cell, wasmtime.Global)
    assert isinstance(memory, wasmtime.Memory)
    wanted = call(sample.export, sample.size)
    # Where frames are saved to: from its first word to its second.
    room = memory.grow(store, 1) << 16
    for stops in range(1, 4):
        memory.write(store, struct.pack("<II", room + 8, room + 65536), room)
        cell.set_value(store, 1)
        call(sample.export, sample.size)
        call("asyncify_stop_unwind")
        cell.set_value(store, 0)
        call("asyncify_start_rewind", room)
        assert call(sample.export, sample.size) == wanted
        assert calls == ["stopped", "went on"] * stops
