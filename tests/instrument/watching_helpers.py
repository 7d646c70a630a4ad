"""Runs a call with a tracer and all monitors, and keeps what they said, for comparisons.

What is said is text: the stream of the trace, and the document of every monitor. A run may be
stopped at a safepoint and carried on, on the other path, by instruments that know nothing of the
first ones.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from chiwawa import api
from chiwawa.instrument.counting.observed import Observed
from chiwawa.instrument.instruments import Instruments
from chiwawa.instrument.monitors.document import document
from chiwawa.instrument.tracing.tracer import RESOURCES, Tracer, Tracing
from chiwawa.module import Module
from chiwawa_runtime.errors import HostError, Trap
from chiwawa_runtime.run.instance import Run
from tests.nodiff.harness_helpers import Call, Log

EVERYTHING = Tracing(resources=frozenset(RESOURCES))


@dataclass
class Watched:
    """A run under way, and what looks at it. ``text`` is what was traced since the start, on
    earlier paths too; ``ending`` how it ended, None while it has not."""

    call: Call
    path: str
    run: Run
    instruments: Instruments
    out: io.StringIO
    log: Log
    tracing: Tracing | None
    monitors: tuple[str, ...]
    before: str = ""
    ending: tuple[Any, ...] | None = None
    interruptions: int = field(default=0)

    @property
    def passed(self) -> int:
        """How many safepoints it has passed."""
        assert self.run.requests.passed is not None
        return self.run.requests.passed

    @property
    def text(self) -> str:
        return self.before + self.out.getvalue()

    def go(self, to: int | None = None) -> bool:
        """Go on to the end (True), or to the safepoint ``to`` (False)."""
        self.run.requests.stop_at(to)
        try:
            while not self.run.go():
                reasons = self.run.requests.take()
                if "count" in reasons:
                    self.instruments.finish()
                    return False
                self.interruptions += 1
            self.ending = ("returned", repr(self.run.results))
        except Trap as trap:
            self.ending = ("trap", trap.message, trap.backtrace)
        except HostError as error:
            self.ending = ("host error", str(error))
        self.instruments.finish()
        return True

    def documents(self) -> str:
        """What all the monitors asked for have found, as text."""
        observed = self.instruments.observed()
        return json.dumps([document(observed, self.monitors), raw(observed)], indent=1)

    def moved(self, path: str, granularity: str | None = None) -> Watched:
        """The run, which stands still, from its checkpoint on, on ``path``."""
        data = self.run.checkpoint()
        return made(
            self.call,
            path,
            self.tracing,
            self.monitors,
            granularity=granularity,
            data=data,
            before=self.text,
            log=self.log,
        )


def made(
    call: Call,
    path: str,
    tracing: Tracing | None,
    monitors: Iterable[str],
    *,
    granularity: str | None,
    data: bytes | None = None,
    before: str = "",
    log: Sequence[Any] = (),
) -> Watched:
    module = call.module
    assert isinstance(module, Module)
    out = io.StringIO()
    tracer = None if tracing is None else Tracer(module, tracing, out)
    names = tuple(monitors)
    instruments = Instruments(module, monitors=names, tracer=tracer)
    own: Log = list(log)
    imports = call.make_imports(own)
    if data is None:
        assert granularity is not None
        run = api.start(
            module,
            call.name,
            call.args,
            imports,
            path=path,
            granularity=granularity,
            instruments=instruments,
        )
        run.requests.count_from(0, None)
    else:
        run = api.restore(
            module, data, imports, path=path, granularity=granularity, instruments=instruments
        )
        if run.requests.passed is None:
            run.requests.count_from(0, None)
    return Watched(call, path, run, instruments, out, own, tracing, names, before)


def started(
    call: Call,
    path: str,
    tracing: Tracing | None = EVERYTHING,
    monitors: Iterable[str] = (),
    granularity: str = "safepoint",
) -> Watched:
    """The run of a call, not begun."""
    return made(call, path, tracing, monitors, granularity=granularity)


def watched(
    call: Call,
    path: str,
    tracing: Tracing | None = EVERYTHING,
    monitors: Iterable[str] = (),
    granularity: str = "safepoint",
    to: int | None = None,
) -> Watched:
    """The run of a call, which has ended, or stands at the safepoint ``to``."""
    run = started(call, path, tracing, monitors, granularity)
    run.go(to)
    return run


def raw(observed: Observed) -> Any:
    """Everything that was observed, as plain data."""
    return {
        "counts": sorted(observed.counts.items()),
        "arms": sorted(observed.arms.items()),
        "targets": sorted(
            (place, sorted(found.items(), key=repr)) for place, found in observed.targets.items()
        ),
        "pages": sorted((m, sorted(pages.items())) for m, pages in observed.pages.items()),
        "bulk": sorted(observed.bulk.items()),
        "gaps": observed.gaps,
    }


class Enough(io.StringIO):
    """Asks the run to stop when so many lines have been written."""

    def __init__(self, lines: int) -> None:
        super().__init__()
        self.left = lines
        self.run: Run | None = None

    def write(self, text: str) -> int:
        self.left -= text.count("\n")
        if self.left <= 0 and self.run is not None:
            self.run.requests.ask("enough")
        return super().write(text)


def safepoint_after(call: Call, lines: int) -> int | None:
    """The number of a safepoint before which a full trace has about so many lines; None where it
    ends earlier."""
    module = call.module
    assert isinstance(module, Module)
    out = Enough(lines)
    instruments = Instruments(module, tracer=Tracer(module, Tracing(), out))
    run = api.start(
        module,
        call.name,
        call.args,
        call.make_imports([]),
        path="interp",
        instruments=instruments,
    )
    run.requests.count_from(0, None)
    out.run = run
    try:
        if run.go():
            return None
    except (Trap, HostError):
        return None
    assert run.requests.passed is not None
    return run.requests.passed


def same_text(left: str, right: str, what: str) -> None:
    """An AssertionError that shows the first lines that differ."""
    if left == right:
        return
    a, b = left.splitlines(), right.splitlines()
    at = next((i for i, pair in enumerate(zip(a, b, strict=False)) if pair[0] != pair[1]), None)
    at = min(len(a), len(b)) if at is None else at
    shown = "\n".join([*a[max(0, at - 3) : at], f"< {a[at : at + 3]}", f"> {b[at : at + 3]}"])
    raise AssertionError(f"{what}: line {at + 1} of {len(a)} and {len(b)} differs:\n{shown}")
