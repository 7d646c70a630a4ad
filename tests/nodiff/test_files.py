"""Generated files: written, loaded or imported, they are the same program as the module."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from chiwawa import api
from chiwawa.module import Module
from chiwawa.source import load
from chiwawa_runtime.engine.translation import Bundle
from tests.nodiff.harness_helpers import (
    Call,
    again,
    both,
    compare_bytes,
    cross,
    ended,
    same,
    spread,
)

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
CALLS = [
    ("recursion.wasm", "evens", (9,)),
    ("indirect.wasm", "steps", (30,)),
    ("quicksort.wasm", "quicksort", (60,)),
    ("bulk.wasm", "all", (2,)),
]


def imported(path: Path) -> Bundle:
    """What ``import`` makes of a generated file."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = module.BUNDLE
    assert isinstance(found, Bundle)
    return found


@pytest.mark.parametrize(("file", "export", "args"), CALLS)
def test_a_file_and_its_module_carry_each_other_on(
    file: str, export: str, args: tuple[int, ...], tmp_path: Path
) -> None:
    module = load(SAMPLES / file)
    written = tmp_path / "written_aot.py"
    api.compile_file(module, written)
    expected = both(Call(module, export, args))
    sources = [module, api.load_generated(written), imported(written)]
    walks = [
        compare_bytes(
            Call(source, export, args),
            spread(expected.safepoints or 0, 6),
        )
        for source in sources
    ]
    for stops in zip(*walks, strict=True):
        assert len({stop.data for stop in stops}) == 1
        for source in sources:
            call = Call(source, export, args)
            cross(call, stops[0], expected)


def test_a_finer_file_carries_on_what_a_coarser_wrote_and_the_other_way_round(
    tmp_path: Path,
) -> None:
    file, export, args = CALLS[0]
    module: Module = load(SAMPLES / file)
    fine = tmp_path / "fine_aot.py"
    api.compile_file(module, fine, granularity="instruction")
    bundle = api.load_generated(fine)
    expected = both(Call(module, export, args))
    call = Call(bundle, export, args)
    for stop in compare_bytes(Call(module, export, args), spread(expected.safepoints or 0, 5)):
        cross(call, stop, expected)
        cross(call, stop, expected, granularity="instruction")
    finest = both(Call(module, export, args), "instruction")
    for stop in compare_bytes(call, spread(finest.safepoints or 0, 40), "instruction"):
        session = again(Call(module, export, args), stop.data, "aot")
        same(finest, ended(session, call), f"restored at {stop.number}")


def test_a_generated_file_is_the_same_each_time(tmp_path: Path) -> None:
    module = load(SAMPLES / "vm.wasm")
    api.compile_file(module, tmp_path / "a.py")
    api.compile_file(module, tmp_path / "b.py")
    assert (tmp_path / "a.py").read_bytes() == (tmp_path / "b.py").read_bytes()
