"""The module that the page runs: what its worker asks of chiwawa, and gets as plain data.

It runs in Pyodide, in one thread. A module that runs gives way to the event loop after every few
milliseconds, so that the worker hears of what is asked meanwhile.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import chiwawa
from chiwawa.inspect import describe, render
from chiwawa_runtime import checkpoint
from chiwawa_runtime.state.snapshot import Snapshot
from chiwawa_runtime.state.values import format_value, parse_values

#: So many frames are shown, from the youngest on.
MOST_FRAMES = 50
#: After how many safepoints a module gives way: some hundredths of a second.
EVERY = {"interp": 5_000, "aot": 50_000}
#: More fuel than anything takes.
PLENTY = 2**62


class Printed(io.RawIOBase):
    """What a program writes, handed on as text."""

    def __init__(self, hand_on: Callable[[str], object]) -> None:
        self.hand_on = hand_on

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.hand_on(bytes(data).decode("utf-8", "replace"))
        return len(data)


def versions() -> str:
    version = ".".join(map(str, sys.version_info[:3]))
    return f"chiwawa {chiwawa.__version__} on Python {version}"


class Program:
    def __init__(self, hand_on: Callable[[str], object]) -> None:
        self.hand_on = hand_on
        self.module: chiwawa.Module | None = None
        self.run: chiwawa.Run | None = None
        self.path = ""

    def look(self, text: str) -> dict[str, Any]:
        """What a module exports to be called, or what is wrong with it."""
        try:
            module = chiwawa.load(text)
        except chiwawa.ChiwawaError as error:
            return {"functions": [], "complaint": str(error)}
        functions = [
            {"name": each.name, "type": str(each.type)}
            for each in module.exports
            if isinstance(each.type, chiwawa.FuncType)
        ]
        return {"functions": functions, "complaint": None}

    def begin(self, text: str, name: str, arguments: str, path: str) -> dict[str, Any] | None:
        """A run of the exported function ``name`` of ``arguments``, which are separated by commas;
        or what is wrong."""
        self.run = None
        try:
            self.module = module = chiwawa.load(text)
            self.path = path
            self.run = chiwawa.start(
                module,
                name,
                values(module, name, arguments),
                self.imports(),
                path=path,
                wasi=self.new_wasi() if uses_wasi(module) else None,
            )
            return self.allow(path, None)
        except chiwawa.ChiwawaError as error:
            return nowhere("It cannot begin.", error)

    def allow(self, path: str, steps: int | None) -> dict[str, Any] | None:
        """Have the run ready to go on, for so many safepoints (None: to the end), on that path; or
        what is wrong."""
        assert self.run is not None
        try:
            if path != self.path:
                self.restored(self.run.checkpoint(), path)
        except chiwawa.ChiwawaError as error:
            return nowhere("It cannot go on.", error)
        # It is counted from its start on, so that it can be said how many it has passed.
        self.run.allow(fuel=PLENTY if steps is None else steps)
        return None

    async def go(self) -> dict[str, Any]:
        """Go on, to the end or until it is stopped."""
        run = self.run
        assert run is not None
        try:
            done = await run.go_async(every=EVERY[self.path])
        except chiwawa.WasiExit as ended:
            return nowhere(f"Ended with status {ended.code}.")
        except chiwawa.ChiwawaError as error:
            return nowhere("Ended.", error)
        if not done:
            run.requests.take()
            return self.stands("Stopped")
        assert run.function is not None
        results = zip(run.function.type.results, run.results, strict=True)
        return nowhere("Ended.", result=", ".join(format_value(*each) for each in results))

    def stop(self) -> None:
        if self.run is not None:
            self.run.instance.stop()

    def save(self) -> bytes:
        """A checkpoint, or nothing where it can be written in none, which is said."""
        assert self.run is not None
        try:
            return self.run.checkpoint()
        except chiwawa.ChiwawaError as error:
            self.hand_on(f"{error}\n")
            return b""

    def restore(self, text: str, data: Any, path: str) -> dict[str, Any]:
        """Have the run stand that a checkpoint is of."""
        self.run = None
        try:
            self.module = chiwawa.load(text)
            self.restored(bytes(data), path)
        except chiwawa.ChiwawaError as error:
            return nowhere("It cannot be restored.", error)
        return self.stands("Restored")

    def restored(self, data: bytes, path: str) -> None:
        assert self.module is not None
        snapshot = checkpoint.decode(data)
        wasi = None if snapshot.wasi is None else self.new_wasi(snapshot)
        self.run = chiwawa.restore(self.module, snapshot, self.imports(), path=path, wasi=wasi)
        self.path = path

    def new_wasi(self, snapshot: Snapshot | None = None) -> chiwawa.Wasi:
        """What a program is given: no directories, and nothing to read."""
        nothing, out = io.BytesIO(), Printed(self.hand_on)
        if snapshot is None:
            return chiwawa.Wasi(["program"], stdin=nothing, stdout=out, stderr=out)
        return chiwawa.Wasi.load(snapshot, stdin=nothing, stdout=out, stderr=out)

    def imports(self) -> dict[str, dict[str, Any]]:
        return {"env": {"log": self.log}}

    def log(self, *values: object) -> None:
        self.hand_on(f"{' '.join(map(str, values))}\n")

    def stands(self, how: str) -> dict[str, Any]:
        """Where the run stands."""
        assert self.run is not None
        snapshot = self.run.snapshot()
        depth = len(snapshot.frames)
        youngest = describe(replace(snapshot, frames=snapshot.frames[:MOST_FRAMES]), self.module)
        return nowhere(
            f"{how} at safepoint {snapshot.safepoints:,}.",
            stopped=True,
            frames=[cells(frame) for frame in youngest["frames"]],
            depth=depth,
            all=render(describe(snapshot, self.module)),
        )


def nowhere(state: str, error: Exception | None = None, **given: Any) -> dict[str, Any]:
    """What the page is told of a run that stands nowhere, but for what is ``given``."""
    return {
        "state": state,
        "failure": None if error is None else str(error),
        "result": None,
        "stopped": False,
        "frames": [],
        "depth": 0,
        "all": "",
    } | given


def cells(frame: dict[str, Any]) -> list[str]:
    """A row of the table of frames."""
    local_values = [
        f"${each['name'] or i}={each['value']}" for i, each in enumerate(frame["locals"])
    ]
    return [
        f"${frame['name']}" if frame["name"] else str(frame["function"]),
        f"0x{frame['offset']:04x}",
        frame["instruction"] or "",
        " ".join(local_values),
        " ".join(each["value"] for each in frame["stack"]),
    ]


def uses_wasi(module: chiwawa.Module) -> bool:
    return any(each.module.startswith("wasi_") for each in module.imports)


def values(module: chiwawa.Module, name: str, arguments: str) -> list[Any]:
    """What is typed, as values of the parameters' types. Raises BadInput."""
    (functype,) = (each.type for each in module.exports if each.name == name)
    assert isinstance(functype, chiwawa.FuncType)
    typed = [each.strip() for each in arguments.split(",")] if arguments.strip() else []
    if len(typed) != len(functype.params):
        count = len(functype.params)
        raise chiwawa.BadInput(f"{name} takes {count} argument{'' if count == 1 else 's'}")
    pairs = zip(functype.params, typed, strict=True)
    parsed = parse_values(", ".join(f"{str(each).upper()}({text})" for each, text in pairs))
    return [value for _, value in parsed]
