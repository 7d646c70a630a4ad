"""Calls made in turn, stopped where somebody has asked for it, explained where they fail.

How they go on is here, on whichever engine their instance has; what embedders ask of it is in
``instance``, whose ``Run`` is this.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, NoReturn, TypeVar

from chiwawa_runtime.collector import uncollected
from chiwawa_runtime.engine.awaiting import Waiting, current
from chiwawa_runtime.engine.budget import MESSAGES, Budget
from chiwawa_runtime.engine.contract import Activation
from chiwawa_runtime.engine.deep import call_with_room
from chiwawa_runtime.engine.instance import ModuleInstance
from chiwawa_runtime.engine.observer import CHANGE, Observer
from chiwawa_runtime.engine.requests import Requests
from chiwawa_runtime.errors import (
    Abrupt,
    CheckpointError,
    HostError,
    Interrupted,
    RunError,
    Trap,
    UnsupportedError,
)
from chiwawa_runtime.run import capture
from chiwawa_runtime.run.host_calls import HostCalls
from chiwawa_runtime.run.savable import SavableInstance
from chiwawa_runtime.state.plain import plain
from chiwawa_runtime.state.snapshot import Snapshot
from chiwawa_runtime.state.store import Function

Owner = TypeVar("Owner", bound=SavableInstance)


class CallsInTurn(Generic[Owner]):
    """The calls in ``plan``, of an instance's functions. ``depth`` is that of the call stack
    beneath them. Unless this ``suspends``, it traps where fuel or time is spent."""

    def __init__(
        self,
        instance: Owner,
        plan: Sequence[capture.RawCall],
        *,
        depth: int = 0,
        suspends: bool = True,
    ) -> None:
        self.instance = instance
        self.suspends = suspends
        self.depth = depth
        self.plan = list(plan)
        self.generation = instance.generation
        self.context: object = None
        self.paused: object = None
        self.activation: Activation | None = None
        #: The function that the results are of, or one that tail calls have led to from there.
        self.function: Function | None = None
        #: Whether it has ended: all calls have returned, or there is nothing to go on from.
        self.finished = False
        #: What keeps the calls of host functions, or gives them back.
        self.calls: HostCalls | None = None
        #: What may keep a checkpoint where it is suspended.
        self.keep: Callable[[], None] | None = None
        self._results: list[Any] = []
        #: Why ``resume`` has stopped, if it has.
        self.reasons: list[str] = []
        #: Whether it is going on right now, in whichever thread.
        self._going = False
        #: What ended it, if it was no return, in words and as it was raised.
        self._failure: str | None = None
        self.error: BaseException | None = None
        #: What its host functions await, and whether that is awaited: it is run in an event loop.
        self.waiting = Waiting(instance.requests)
        self.awaits = False

    @property
    def requests(self) -> Requests:
        return self.instance.requests

    def proceed(self) -> bool:
        """``go``, for a thread whose turn it is."""
        if self._going:
            raise RunError("the run is going on already, and waits for this call")
        if self._failure is not None:
            raise RunError(f"the run has ended with {self._failure}")
        if self.finished:
            return True
        instance = self.instance
        if instance.calls is not None:
            instance.calls.check_going()
        spent = instance.budget.spent()
        if spent is not None and not self.is_to_trap(instance.budget):
            if spent not in self.requests.pending:
                self.requests.ask(spent)
            return False
        depth = instance.depth
        if instance.observer is not None:
            instance.observer.resume(self.paused)
        if not instance.running and instance.budget.limited:
            instance.begin_budget()
        instance.running += 1
        self._going = True
        outer = current.set(self.waiting if self.awaits else None)
        try:
            done = call_with_room(self.advance, self.interrupt)
        finally:
            current.reset(outer)
            self._going = False
            instance.running -= 1
            if not instance.running and instance.budget.begun:
                instance.end_budget()
            instance.depth = depth
            if instance.observer is not None:
                self.paused = instance.observer.pause()
                if not instance.running:
                    # No safepoint came any more.
                    self.apply_changes(instance)
        self.finished = done
        if done and self.calls is not None:
            self.calls.finish()
        return bool(done)

    def interrupt(self) -> None:
        self.requests.ask("interrupt")

    def fail(self, error: BaseException) -> None:
        """What was in the middle of something has no state to go on from."""
        self.finished = True
        self.error = error
        if isinstance(error, Trap):
            self._failure = f"a trap: {error.message}"
        elif isinstance(error, Abrupt):
            self._failure = f"an {error.message}"
        else:
            self._failure = f"{type(error).__name__}: {error}".removesuffix(": ")
        if self.calls is not None and self.calls.live:
            self.calls.finish()
        if self.instance.observer is not None and self.activation is not None:
            if isinstance(error, Trap):
                self.instance.observer.trapped(error)
            self.instance.observer.leave(self.context)

    def unstoppable(self) -> HostError:
        """The end of a call that a host function has stopped, and nobody can go on with."""
        error = HostError(
            "a host function raised Interrupted, though nothing was asked for: that stops a run "
            "(chiwawa.start), but no call from Python"
        )
        error.__cause__ = Interrupted()
        self.fail(error)
        return error

    def advance(self) -> bool:
        """``proceed``, where there is room for it on Python's stack: make the calls in turn until
        all have returned (True), or the run is to stop (False). What is raised ends the run."""
        while self.activation is not None or self.plan:
            try:
                self.check_budgets()
                returned = self.advance_call()
                stopped = not returned and self.is_to_stop()
                if stopped:
                    self.check_budgets()
            except BaseException as error:
                explained = error if self.activation is None else self.activation.explain(error)
                self.fail(explained)
                if explained is error:
                    raise
                raise explained from None
            if returned:
                self.end_call()
            elif stopped:
                return False
        return True

    def is_to_trap(self, budget: Budget) -> bool:
        """Whether it traps where ``budget`` is spent: also where that is of a run which waits for
        this one, or has called what waits for it."""
        return budget.traps or not self.suspends or budget is not self.instance.budget

    def check_budgets(self) -> None:
        """Raises Trap where fuel or time is spent, and that is one."""
        for budget in self.instance.bounds:
            reason = budget.spent() if budget.limited else None
            if reason is not None and self.is_to_trap(budget):
                if budget is self.instance.budget and self.instance.running == 1:
                    self.requests.withdraw(reason)
                self.trap(reason)

    def trap(self, reason: str) -> NoReturn:
        trap = Trap(MESSAGES[reason])
        frames = []
        # Where some cannot be read, it has no backtrace.
        with contextlib.suppress(CheckpointError):
            frames = [] if self.activation is None else self.activation.frames()
        trap.backtrace = tuple(f.instance.program.located(f.function, f.offset) for f in frames)
        trap.origin = frames[0].instance if frames else None
        raise trap

    def advance_call(self) -> bool:
        """Go on with the call in progress, or begin the next: whether it has returned. It is
        suspended else, or not begun: where the host function that it is of was interrupted."""
        begun: list[capture.RawCall] = []
        try:
            if self.activation is None:
                begun = [self.plan.pop(0)]
                self.activation = self.begin_call(*begun[0])
            elif self.generation != self.instance.generation:
                self.restore_activation()
            return self.activation.advance()
        except Interrupted:
            # No frame has called that host function, and its call has had no effect.
            self.plan = begun + self.plan
            self.activation = None
            return False

    def begin_call(self, function: int, args: Sequence[Any]) -> Activation:
        instance = self.instance
        self.function = instance.functions[function]
        if instance.observer is not None:
            self.context = instance.observer.mark()
        activation = instance.engine.start(function, args, self.depth, instance.most)
        self.generation = instance.generation
        return activation

    def end_call(self) -> None:
        """Keep what the call in progress has returned."""
        assert self.activation is not None
        assert self.function is not None
        types = self.function.type.results
        self._results = list(map(plain, self.activation.results, types))
        self.activation = None

    def is_to_stop(self) -> bool:
        """Whether the run, which is suspended, is to stop there. If not, it has done what it was
        suspended for, and nothing is pending any more."""
        interrupted = self.activation is None or self.activation.interrupted
        # Where nobody has asked, the host function that was interrupted wants it.
        wanted = interrupted and not self.asked()
        if self.instance.observer is not None:
            self.take_back(self.instance.observer)
        for each in self.instance.reached:
            self.apply_changes(each)
        if self.keep is not None:
            self.keep()
        if wanted or self.asked():
            return True
        # What instruments wanted is done. Somebody may ask meanwhile.
        for reason in self.requests.take():
            self.requests.ask(reason)
        return self.asked()

    def asked(self) -> bool:
        """Whether the instance, or one that it is linked with, has been asked for something."""
        return any(each.requests.pending for each in self.instance.reached)

    def restore_activation(self) -> None:
        """Go on with functions as they are prepared now."""
        assert self.activation is not None
        engine = self.instance.engine
        try:
            self.activation = engine.restore(self.activation.frames(), self.instance.most)
        except (CheckpointError, UnsupportedError):
            # Another path's are among them. At the next safepoint they may be gone.
            self.requests.ask(CHANGE)
            return
        self.generation = self.instance.generation

    def take_back(self, observer: Observer) -> None:
        """Have instruments take back the call of a host function that was interrupted."""
        frame = None if self.activation is None else self.activation.interrupted_frame()
        if frame is not None:
            observer.take_back(frame)

    def apply_changes(self, instance: ModuleInstance) -> None:
        """Have instruments changed if they have asked for it."""
        if instance.requests.withdraw(CHANGE) and instance.observer is not None:
            instance.observer.apply_changes()

    @contextlib.contextmanager
    def still(self) -> Iterator[None]:
        """A context in which the program stands still. Raises CheckpointError where it does not."""
        with self.instance.still():
            self._going = True
            try:
                yield
            finally:
                self._going = False

    def instances(self) -> Sequence[ModuleInstance]:
        """Those that its checkpoints hold, in their order, where it is stopped."""
        frames = [] if self.activation is None else self.activation.frames()
        return self.instance.checkpointed(frames, self.plan)

    def captured(self) -> Snapshot:
        if self.finished:
            raise CheckpointError(
                "the program has ended: what is left is its instance (run.instance.checkpoint())"
            )
        with uncollected():
            frames = [] if self.activation is None else self.activation.frames()
        return self.instance.captured(frames, self.plan)
