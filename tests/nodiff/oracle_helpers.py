"""wasmtime, in a process of its own, asked what a call gives."""

from __future__ import annotations

import base64
import json
import select
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chiwawa.lower.lowered import Spaces
from chiwawa_runtime.state.types import F32, F64, I32, I64, V128
from tests.nodiff.harness_helpers import Call, Ending
from tests.nodiff.plain_signature_helpers import plain_result

WORKER = Path(__file__).with_name("answer_from_wasmtime.py")
#: Seconds for one module, on however slow a machine.
PATIENCE = 300.0


class Oracle:
    """The worker, started when it is first asked, and again after it died or hung."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None

    def ask(
        self,
        wasm: bytes,
        calls: Sequence[tuple[str | None, Sequence[int]]],
        adapter: bytes | None = None,
    ) -> list[Any] | None:
        """The answer to each call, or None where wasmtime did not answer. ``adapter`` is a module
        that has some of the imports, by their names."""
        if self.process is None or self.process.poll() is not None:
            self.process = subprocess.Popen(
                [sys.executable, str(WORKER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        request = {
            "wasm": base64.b64encode(wasm).decode(),
            "calls": [list(c) for c in calls],
            "adapter": base64.b64encode(adapter or b"").decode(),
        }
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        line = self.process.stdout.readline() if ready else b""
        if not line:
            self.close()
            return None
        answer: list[Any] = json.loads(line)
        return answer

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            for pipe in (self.process.stdin, self.process.stdout):
                if pipe is not None:
                    pipe.close()
            self.process = None


def without_nan(value: Any, kind: Any) -> Any:
    """A result's bits as the worker writes them."""
    if kind is I32 or kind is I64:
        return value[0] & (1 << kind.bits) - 1
    if kind is F32:
        return "nan" if value & 0x7FFFFFFF > 0x7F800000 else value
    if kind is F64:
        return "nan" if value & 0x7FFFFFFFFFFFFFFF > 0x7FF0000000000000 else value
    if kind is V128:
        return value
    return None if value is None else "reference"


def trap_kind(message: str) -> str:
    """The worker's word for a trap of ours."""
    if message == "undefined element":
        return "out of bounds table access"
    if message.startswith("null ") and message.endswith(" reference"):
        return "null reference"
    return "uninitialized element" if message.startswith("uninitialized element") else message


def agrees(call: Call, ending: Ending, answer: Any) -> bool:
    """Whether wasmtime had a say; an AssertionError where it says otherwise."""
    kind, detail, memories, log = answer
    message = ending.detail[0] if ending.kind == "trap" else None
    if ending.kind in ("stopped", "host error") or kind == "refused":
        return False
    if detail in ("fuel", "call stack exhausted") or message == "call stack exhausted":
        return False
    what = f"{call.name}{call.args}"
    ours: Any
    if ending.kind == "refused":
        assert kind == "trap", f"{what}: ours {ending.detail}, wasmtime {kind} {detail}"
        return True
    outcome = ending.kind
    if ending.kind == "trap":
        ours = trap_kind(ending.detail[0])
    elif ending.kind == "thrown":
        outcome, ours = "trap", "uncaught exception"
    else:
        types = () if call.name is None else result_types(call)
        results = zip(ending.detail, types, strict=True)
        ours = [each for v, t in results for each in plain_result(without_nan(v, t), t)]
    assert (outcome, ours) == (kind, detail), (
        f"{what}: ours {ending.kind} {ours}, wasmtime {kind} {detail}"
    )
    assert [list(entry) for entry in ending.log] == log, f"{what}: host calls differ"
    if memories:
        assert [m[1] for m in ending.state[0]] == memories, f"{what}: memories differ"
    return True


def result_types(call: Call) -> tuple[Any, ...]:
    (index,) = (
        e.index for e in call.module.export_section if e.name == call.name and e.kind == "func"
    )
    return Spaces.of(call.module).funcs[index].functype.results
