"""Instruments: everything that looks at one run, on whichever path, and over several machines.

They say what is to run where (``sites_of``, ``names``), hear what no boundary shows (``events``),
and keep what was found. Nothing of them depends on the engine, so a run that changes paths keeps
them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from chiwawa.instrument.counting.counters import Counters
from chiwawa.instrument.counting.observed import KINDS, Node, Observed
from chiwawa.instrument.counting.saved import decode, encode
from chiwawa.instrument.monitors.monitors import MONITORS
from chiwawa.instrument.probes import NOTHING, Action, Match, Probe, Probes
from chiwawa.instrument.tracing.tracer import Tracer
from chiwawa.lower.lowered import Lowered, Spaces, lower
from chiwawa.lower.sites import Site, Sites, state_names, variables
from chiwawa.module import Module
from chiwawa_runtime.engine.contract import RawFrame
from chiwawa_runtime.engine.instance import ModuleInstance
from chiwawa_runtime.engine.observer import CHANGE
from chiwawa_runtime.errors import BadInput, Trap


class Instruments:
    """What looks at a run of ``module``: the monitors named, a tracer, and probes that are added
    later. One object serves one run, and what restores and continues it.

    >>> module = chiwawa.load('(module (func (export "one") (result i32) (i32.const 1)))')
    >>> instruments = chiwawa.Instruments(module, monitors=["icount"])
    >>> chiwawa.instantiate(module, instruments=instruments).invoke("one")
    [1]
    >>> instruments.observed().counts  # of function 0, each instruction
    {0: [1, 0]}
    """

    def __init__(
        self, module: Module, *, monitors: Iterable[str] = (), tracer: Tracer | None = None
    ) -> None:
        """Raises BadInput for a name that is no monitor's."""
        self.module = module
        self.monitors = tuple(monitors)
        kinds: set[str] = set()
        for name in self.monitors:
            if name not in MONITORS:
                raise BadInput(f"unknown monitor {name!r}: there are {', '.join(MONITORS)}")
            kinds |= MONITORS[name].needs
        self.tracer = tracer
        self.probes = Probes(module)
        self.names: dict[str, Any] = {}
        self.counters: Counters
        self.count(frozenset(kinds))
        self.spaces = Spaces.of(module)
        self.instance: ModuleInstance | None = None
        #: Has the engine prepare its functions with the sites that ``sites_of`` gives now; set by
        #: whoever made the engine.
        self.replace_code: Callable[[], None] = lambda: None
        self.last_trap: Trap | None = None

    def count(self, kinds: frozenset[str]) -> None:
        self.counters = Counters(self.module, kinds)
        self.names.clear()
        self.names.update(self.counters.names)
        self.names.update(self.probes.names)
        if self.tracer is not None:
            self.names.update(self.tracer.names)

    # What is to run.

    def sites_of(self, lowered: Lowered) -> Sites | None:
        """What is to run in a function (see ``chiwawa.lower.sites``)."""
        at: dict[int, list[Site]] = {}
        for position, site in self.counters.sites(lowered):
            at.setdefault(position, []).append(site)
        if self.tracer is not None:
            changing = self.probes.writing()
            for position, site in self.tracer.sites(lowered, changing):
                at.setdefault(position, []).append(site)
        # Last, because what a probe does may be that the instruction is not reached.
        for position, site in self.probes.sites(lowered):
            at.setdefault(position, []).append(site)
        contexts = self.counters.contexts
        if contexts is not None:
            return Sites(at, contexts.entry(lowered), contexts.exit, contexts.unwound)
        return Sites(at) if at else None

    def probe(self, match: Match, action: Action, *, writes: bool = False) -> Probe:
        """See ``Instance.probe``."""
        probe = self.probes.add(match, action, writes, self.change)
        self.change()
        return probe

    def change(self) -> None:
        """The probes are others now: in a program that runs, from its next safepoint on."""
        if self.instance is not None and self.instance.running:
            self.instance.requests.ask(CHANGE)
        else:
            self.apply_changes()

    # What a run says of itself.

    def attach(self, instance: ModuleInstance) -> None:
        self.instance = instance
        self.counters.attach(instance)
        self.probes.attach(instance)
        if self.tracer is not None:
            self.tracer.attach(instance)

    def restore(self, frames: Sequence[RawFrame]) -> None:
        own = [frame for frame in reversed(frames) if frame.instance is self.instance]
        if self.counters.contexts is not None:
            self.counters.contexts.go_to(frame.function for frame in own)
        if not own or own[-1] is not frames[0]:
            return
        lowered, position = self.place(frames[0])
        if self.counters.kinds:
            self.counters.resume(lowered, position)
        if self.tracer is not None:
            self.tracer.enter(lowered, frames[0].locals)

    def place(self, frame: RawFrame) -> tuple[Lowered, int]:
        assert self.instance is not None
        everywhere = self.instance.engine.granularity == "instruction"
        lowered = lower(self.spaces, frame.function, everywhere=everywhere)
        position = next(p for p, i in enumerate(lowered.body) if i.offset == frame.offset)
        return lowered, position

    def mark(self) -> object:
        contexts = self.counters.contexts
        return None if contexts is None else contexts.context.node

    def leave(self, mark: object) -> None:
        if self.counters.contexts is not None:
            assert mark is None or isinstance(mark, Node)
            self.counters.contexts.return_to(mark)

    def take_back(self, frame: RawFrame) -> None:
        assert self.instance is not None
        lowered, position = self.place(frame)
        sites = self.sites_of(lowered)
        names = {**self.names, **state_names(self.instance)}
        for site in () if sites is None else sites.at.get(position, ()):
            if site.undo is not None:
                values = {}
                for kind, index in variables(site.undo):
                    held = frame.stack if kind == "s" else frame.locals
                    if index < len(held):
                        values[f"{kind}{index}"] = held[index]
                exec(site.undo, names, values)

    def pause(self) -> object:
        return self.probes.fired

    def resume(self, paused: object) -> None:
        self.probes.fired = NOTHING if paused is None else paused  # type: ignore[assignment]

    def trapped(self, trap: Trap) -> None:
        if trap is not self.last_trap:
            self.last_trap = trap
            # Where another instance's function trapped, ours are at calls, which end blocks.
            if trap.origin is self.instance:
                self.counters.trapped(trap)

    def apply_changes(self) -> None:
        if self.probes.changed():
            self.probes.activate()
            self.replace_code()

    # What they found.

    def observed(self) -> Observed:
        """What was counted since the program's start."""
        return self.counters.observed()

    def finish(self) -> None:
        """Write what is held back: the run stands still, or has ended."""
        if self.tracer is not None:
            self.tracer.finish()

    def save(self) -> bytes | None:
        kinds = self.counters.kinds
        return encode(self.observed(), [k for k in KINDS if k in kinds]) if kinds else None

    def load(self, data: bytes | None) -> None:
        """Go on counting from what a checkpoint has, and count what was counted. Raises
        CheckpointError where it does not fit the module."""
        asked = self.counters.kinds
        if data is None:
            if asked:
                self.counters.earlier.gaps += 1
            return
        kinds, earlier = decode(data, self.module)
        if not asked <= kinds:
            earlier.gaps += 1
        self.count(asked | kinds)
        self.counters.earlier = earlier
