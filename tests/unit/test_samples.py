"""Samples give what wasmtime gives, on both paths and by hand, and are built from source."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import chiwawa
from benchmarks.handwritten import HANDWRITTEN
from chiwawa_runtime.errors import UnsupportedError
from tests.path_helpers import each_path, running

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
CALLS: list[dict[str, Any]] = json.loads((SAMPLES / "samples.json").read_text("utf-8"))


def bits_of(value: float, type_: str) -> int | str:
    """A result, comparable: integers unsigned, floats by their shortest form."""
    if type_.startswith("i"):
        return int(value) & ((1 << int(type_[1:])) - 1)
    return repr(float(value))


@each_path
@pytest.mark.parametrize("call", CALLS, ids=lambda call: call["name"])
def test_a_sample_gives_what_wasmtime_gives(call: dict[str, Any], path: str) -> None:
    module = chiwawa.load(SAMPLES / call["file"])
    if path not in running(module):
        with pytest.raises(UnsupportedError, match="the native path: it makes structures"):
            chiwawa.instantiate(module, {}, path=path)
        return
    instance = chiwawa.instantiate(module, {}, path=path)
    results = instance.invoke(call["export"], call["args"])
    assert [bits_of(v, t) for v, t in zip(results, call["results"], strict=True)] == [
        bits_of(v, t) for v, t in zip(call["expect"], call["results"], strict=True)
    ]


@pytest.mark.parametrize(
    "call", [call for call in CALLS if call["compute"]], ids=lambda call: call["name"]
)
def test_the_handwritten_version_gives_the_same(call: dict[str, Any]) -> None:
    assert [HANDWRITTEN[call["name"]](*call["args"])] == call["expect"]


def test_every_handwritten_version_is_of_a_sample() -> None:
    assert sorted(HANDWRITTEN) == sorted(call["name"] for call in CALLS if call["compute"])


def build_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("samples_build", SAMPLES / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("source", sorted(SAMPLES.glob("*.wat")), ids=lambda path: path.name)
def test_a_committed_binary_is_what_its_text_assembles_to(source: Path) -> None:
    assert build_script().build(source) == source.with_suffix(".wasm").read_bytes()


def test_every_sample_has_source_and_binary() -> None:
    sources = {path.stem for path in (*SAMPLES.glob("*.wat"), *SAMPLES.glob("*.c"))}
    assert sources == {path.stem for path in SAMPLES.glob("*.wasm")}
    assert {call["file"] for call in CALLS} <= {f"{stem}.wasm" for stem in sources}
