"""Runs that are stopped again and again, written, thrown away, and restored on another path.

All instances of a store travel in one checkpoint. Where the program goes on, nothing is left of
what it was stopped in, so whatever a checkpoint lacks shows in what the program does next.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from chiwawa import paths, restoring, running
from chiwawa.execution import Source
from chiwawa.module import Module
from chiwawa_runtime import checkpoint
from chiwawa_runtime.engine.instance import Imports, ModuleInstance
from chiwawa_runtime.errors import Abrupt, ChiwawaError, UnsupportedError
from chiwawa_runtime.run.instance import Instance, Run
from chiwawa_runtime.run.numbering import Numbering
from chiwawa_runtime.run.starting import Setup
from chiwawa_runtime.state.host_limits import Limits
from chiwawa_runtime.state.snapshot import Snapshot

#: The reason with which a run is stopped.
BY_TORTURE = "torture"


@dataclass(frozen=True, slots=True)
class Stops:
    """At which of the boundaries that a store passes, counted from 1, it is stopped: at ``number``
    of each ``among``, spread evenly, the last of these being one; at the first ``most`` of those.
    """

    number: int
    among: int
    most: int | None = None

    def boundary(self, stop: int) -> int | None:
        """The one at which the stop of that number is, from 1; None where there is none."""
        if not self.number or (self.most is not None and stop > self.most):
            return None
        return -(-stop * self.among // self.number)


def every(boundaries: int) -> Stops:
    return Stops(1, boundaries)


def at(boundary: int) -> Stops:
    """At that one alone."""
    return Stops(1, boundary, 1)


#: What has boundaries counted.
NOWHERE = Stops(0, 1)


@dataclass(frozen=True, slots=True)
class Move:
    """The stop of which number it was, at which boundary, and from which path to which."""

    stop: int
    boundary: int
    before: str
    after: str

    def __str__(self) -> str:
        return f"stop {self.stop}, at boundary {self.boundary}, from {self.before} to {self.after}"


def tour(first: str, others: Sequence[str]) -> tuple[str, ...]:
    """A round trip from ``first`` that goes from each path to each other one."""
    if len(others) < 2:
        return first, *others
    one, two = others
    return first, one, two, first, two, one


@dataclass(slots=True)
class Torture:
    """Stops at boundaries of the finest granularity that the path has. The program goes on on the
    next path of ``among``, a round trip that begins on the one on which all instances are. Each has
    ``limits``.
    ``boundaries`` is how many were passed, ``stops`` at how many of them it was stopped, and
    ``last`` what came of the latest."""

    where: Stops
    among: Sequence[str]
    limits: Limits
    boundaries: int = 0
    stops: int = 0
    last: Move | None = None
    place: int = 0
    #: The boundary of the next stop, and its number among those that were asked for.
    due: int | None = None
    asked: int = 1
    sources: dict[bytes, Source] = field(default_factory=dict)
    store: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def __post_init__(self) -> None:
        self.due = self.where.boundary(1)

    @property
    def path(self) -> str:
        return self.among[self.place]

    def setup(self, imports: Imports, carry: Mapping[str, object]) -> Setup:
        granularity = paths.path(self.path).granularities[-1]
        return Setup(
            imports=imports,
            path=self.path,
            granularity=granularity,
            carry=carry,
            watched=True,
            limits=self.limits,
        )

    def source(self, module: Module) -> Source:
        return self.sources.setdefault(module.hash, Source(module))

    def start(self, module: Module, imports: Imports, carry: Mapping[str, object]) -> Run:
        """A run, not begun, of the start function of a new instance. Raises what
        ``running.start`` does."""
        return running.start(self.source(module), None, (), self.setup(imports, carry))

    def go(
        self,
        run: Run,
        beside: Sequence[Instance],
        given: Imports,
        moved: Callable[[Mapping[int, Instance]], None],
    ) -> Run:
        """Have ``run`` go on to its end, with ``beside`` those instances that are to be there
        afterwards, too; the run that has come there. ``moved`` is called with the instance that
        stands for each of those now, by the identity of what it was, whenever all are new;
        ``given`` is the host's."""
        source = self.source_of(run.instance)
        restored = False
        while True:
            self.watch(run, Numbering(run.instance, beside, (), ()).instances, restored)
            if run.go():
                return run
            run.requests.take()
            self.stops += 1
            self.note_move(self.path, self.among[self.places()[0]])
            run.instance.beside = list(beside)
            data = run.checkpoint()
            again = self.restore(source, checkpoint.decode(data), given, run.carry)
            # In a checkpoint, these come first, in this order.
            before = list({id(each): each for each in (run.instance, *beside)})
            after = [again.instance, *again.beside]
            new = dict(zip(before, after, strict=False))
            moved(new)
            beside = [new[id(each)] for each in beside]
            run, restored = again, True

    def restore(
        self, source: Source, snapshot: Snapshot, given: Imports, carry: Mapping[str, object]
    ) -> Run:
        """The run that ``snapshot`` is of, on the next path that can take it up: which does not
        refuse it, and has a boundary at which it can before the program ends."""
        modules = list(self.sources.values())
        before = self.path
        refusal: ChiwawaError | None = None
        for place in self.places():
            self.place = place
            self.note_move(before, self.path)
            self.begin_store()
            try:
                setup = self.setup(given, carry)
                run = restoring.restore(source, snapshot, setup, modules=modules)
            except (UnsupportedError, Abrupt) as error:
                refusal = error
                continue
            if not run.finished:
                return run
        assert refusal is not None
        raise refusal

    def places(self) -> list[int]:
        """Where in the round trip other paths are than the present one, the next one first; then
        the present one."""
        count = len(self.among)
        behind = [(self.place + step) % count for step in range(1, count)]
        return [*(place for place in behind if self.among[place] != self.path), self.place]

    def note_move(self, before: str, after: str) -> None:
        self.last = Move(self.stops, self.boundaries, before, after)

    def begin_store(self) -> None:
        """Have instances be made together with each other, and no more with those before."""
        self.store.close()
        self.store.enter_context(paths.path(self.path).together())

    def source_of(self, instance: ModuleInstance) -> Source:
        return self.sources[instance.program.hash]

    def watch(self, run: Run, instances: Sequence[ModuleInstance], restored: bool) -> None:
        """Have ``run`` stop at the next boundary of ``instances`` that is to be. Where it has been
        ``restored``, it comes once more to the one that it was stopped at."""
        again = restored

        def look(instance: ModuleInstance) -> None:
            nonlocal again
            if again:
                again = False
                return
            self.boundaries += 1
            if self.boundaries == self.due:
                self.asked += 1
                self.due = self.where.boundary(self.asked)
                run.requests.ask(BY_TORTURE)
                # It may be none that the run's own knows of.
                instance.engine.safepoints.request(True)

        for each in instances:
            safepoints = each.engine.safepoints
            # What is counted is in the checkpoint, too.
            safepoints.count_from(safepoints.passed or 0, None, lambda: None)
            safepoints.watch(partial(look, each), 1)
