"""Finishes in Python what ``host.mjs`` has stopped in Node.

    python finish.py MODULE STATE.json [--path interp|aot|native] [--checkpoint FILE]

It makes a checkpoint of the state, which ``--checkpoint`` also writes, and goes on from that.
"""

from __future__ import annotations

import argparse
import base64
import json
from pathlib import Path
from typing import Any

import chiwawa
from chiwawa_runtime import checkpoint
from chiwawa_runtime.state.memory_image import MemoryImage
from chiwawa_runtime.state.numerics import f32_from_bits, f64_from_bits
from chiwawa_runtime.state.snapshot import Frame, FuncIdx, GlobalImage, Snapshot, TableImage
from chiwawa_runtime.state.types import F32, F64, VALTYPE_BY_NAME, ValType


def value(name: str, bits: str) -> tuple[ValType, Any]:
    """A value of a frame, by its bits."""
    valtype = VALTYPE_BY_NAME[name]
    number = int(bits)
    if valtype is F32:
        return valtype, f32_from_bits(number)
    return valtype, f64_from_bits(number) if valtype is F64 else number


def plain(valtype: ValType, text: str) -> Any:
    """A global's value, as JavaScript prints it: integers are signed."""
    if valtype in (F32, F64):
        return float(text)
    return int(text) & ((1 << valtype.bits) - 1)  # type: ignore[union-attr]


def snapshot_of(module: chiwawa.Module, state: dict[str, Any]) -> Snapshot:
    """The state that the host has written, as a checkpoint has it."""
    datas, elems = len(module.datas), len(module.elems)
    dropped = [bool(mark) for mark in state["dropped"]]
    return Snapshot(
        module_name=module.names.module or "",
        module_hash=bytes.fromhex(state["module"]),
        granularity="safepoint",
        safepoints=None,
        frames=tuple(
            Frame(
                frame["function"],
                frame["offset"],
                tuple(value(*each) for each in frame["locals"]),
                tuple(value(*each) for each in frame["stack"]),
            )
            for frame in state["frames"]
        ),
        plan=(),
        memories=tuple(
            MemoryImage.of(memorytype, base64.b64decode(data))
            for memorytype, data in zip(module.memory_types(), state["memories"], strict=True)
        ),
        globals=tuple(
            GlobalImage(globaltype, plain(globaltype.type, text))
            for globaltype, text in zip(module.global_types(), state["globals"], strict=True)
        ),
        tables=tuple(
            TableImage(tabletype, tuple(None if i is None else FuncIdx(i) for i in elements))
            for tabletype, elements in zip(module.table_types(), state["tables"], strict=True)
        ),
        dropped_elems=tuple(dropped[datas : datas + elems]),
        dropped_datas=tuple(dropped[:datas]),
    )


def say(number: int, steps: int) -> None:
    print(f"{number} takes {steps} steps", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("module")
    parser.add_argument("state", type=Path)
    parser.add_argument("--path", default="interp")
    parser.add_argument("--checkpoint", type=Path)
    options = parser.parse_args()
    module = chiwawa.load(options.module)
    data = checkpoint.encode(snapshot_of(module, json.loads(options.state.read_text())))
    if options.checkpoint is not None:
        options.checkpoint.write_bytes(data)
    run = chiwawa.restore(module, data, {"host": {"say": say}}, path=options.path)
    assert run.go()
    print(*run.results)


if __name__ == "__main__":
    main()
