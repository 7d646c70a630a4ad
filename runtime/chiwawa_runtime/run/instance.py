"""What embedders have of a program: its ``Instance``, and each ``Run`` of that.

An instance starts runs, and a run is of an instance, so they are here together, and only what is
asked of them: how calls go on is in ``calls_in_turn``, what checkpoints hold in ``savable``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from chiwawa_runtime import checkpoint
from chiwawa_runtime.engine import turns
from chiwawa_runtime.engine.budget import MESSAGES
from chiwawa_runtime.engine.contract import Engine
from chiwawa_runtime.engine.instance import Imports, ModuleInstance
from chiwawa_runtime.engine.observer import CHANGE
from chiwawa_runtime.engine.requests import BY_CALLER, STOPPING_CALLS
from chiwawa_runtime.errors import Exhaustion, RunError, UnsupportedError
from chiwawa_runtime.run.calls_in_turn import CallsInTurn
from chiwawa_runtime.run.host_calls import digest_of
from chiwawa_runtime.run.imports import Wasi
from chiwawa_runtime.run.savable import SavableInstance
from chiwawa_runtime.run.standing import Frame, frames_of
from chiwawa_runtime.state.exceptions import Tag
from chiwawa_runtime.state.host_limits import UNLIMITED, Limits
from chiwawa_runtime.state.interface import AnyGlobal, AnyTable
from chiwawa_runtime.state.program import Program
from chiwawa_runtime.state.snapshot import Snapshot
from chiwawa_runtime.state.store import Function, together

#: How many host functions may have called back into programs on top of each other.
MOST_NESTING = 100


class Instance(SavableInstance):
    """An instance of a module, as an embedder has it: its exports can be used, and it can be
    probed. Raises what ``ModuleInstance`` raises.

    Values are as everywhere: an i32 or i64 that comes out of a program is a signed int, and one
    that goes in is taken in either form; f32 and f64 are floats, v128 its 16 bytes, references
    None, functions, or whatever the host put there.

    >>> module = chiwawa.load('''(module (memory (export "memory") 1)
    ...   (func (export "at") (param i32) (result i32) (i32.load8_u (local.get 0))))''')
    >>> instance = chiwawa.instantiate(module)
    >>> instance.memory("memory").write(16, b"a")
    >>> instance.exports.at(16), instance.func("at")(17), instance.call("at", 16)
    (97, 0, 97)

    ``carry`` is Python state that travels in checkpoints, by name.
    """

    def __init__(
        self,
        program: Program,
        imports: Imports,
        engine: Engine,
        limits: Limits = UNLIMITED,
    ) -> None:
        super().__init__(program, imports, engine, limits)
        #: Instances that its checkpoints hold, too.
        self.beside: list[Instance] = []

    def snapshot(self) -> Snapshot:
        """The state between calls, as ``checkpoint`` writes it. Encode it before the next call.
        Raises CheckpointError.

        >>> module = chiwawa.load('(module (memory (export "memory") 1))')
        >>> instance = chiwawa.instantiate(module)
        >>> again = chiwawa.restore_instance(module, instance.snapshot())
        >>> again.memory().size()
        1
        """
        with self.still():
            return self.captured((), ())

    def checkpoint(self) -> bytes:
        """The bytes of a checkpoint file that holds the instance as it is between calls: its
        memories, globals, tables and segments, WASI and Python state, and no frames. Those of a
        run that is suspended are in ``Run.checkpoint`` alone. Raises CheckpointError while the
        program runs, and where there is something that a checkpoint cannot hold.

        >>> module = chiwawa.load('''(module (global $n (mut i32) (i32.const 0))
        ...   (func (export "next") (result i32)
        ...     (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n)))''')
        >>> instance = chiwawa.instantiate(module, path="aot")
        >>> instance.invoke("next"), instance.invoke("next")
        ([1], [2])
        >>> again = chiwawa.restore_instance(module, instance.checkpoint(), path="interp")
        >>> again.invoke("next")
        [3]
        """
        with self.still():
            data = checkpoint.encode(self.captured((), ()))
            if self.calls is not None:
                self.calls.mark(digest_of(data), self.checkpointed((), ()))
        return data

    def __repr__(self) -> str:
        name = f" {self.program.name}" if self.program.name else ""
        return f"<instance{name} of {', '.join(self.exports) or 'a module without exports'}>"

    def func(self, name: str) -> Function:
        """The exported function ``name``, which can be called. Raises KeyError where there is
        none, as the next ones do.

        >>> module = chiwawa.load('''(module
        ...   (func (export "one") (result i32) (i32.const 1)))''')
        >>> one = chiwawa.instantiate(module).func("one")
        >>> str(one.type), one()
        ('[] -> [i32]', 1)
        """
        return self.exported(name, Function)

    def table(self, name: str) -> AnyTable:
        """The exported table ``name``.

        >>> module = chiwawa.load('(module (table (export "table") 3 funcref))')
        >>> chiwawa.instantiate(module).table("table").size()
        3
        """
        return self.exported(name, AnyTable)  # type: ignore[type-abstract]

    def global_(self, name: str) -> AnyGlobal:
        """The exported global ``name``.

        >>> module = chiwawa.load('(module (global (export "seven") i32 (i32.const 7)))')
        >>> chiwawa.instantiate(module).global_("seven").value
        7
        """
        return self.exported(name, AnyGlobal)  # type: ignore[type-abstract]

    def tag(self, name: str) -> Tag:
        """The exported tag ``name``, of exceptions.

        >>> module = chiwawa.load('(module (tag (export "error") (param i32)))')
        >>> chiwawa.instantiate(module).tag("error")
        <tag error [i32] -> []>
        """
        return self.exported(name, Tag)

    def call(self, name: str, *args: Any) -> Any:
        """Call the exported function ``name``: the value of its result, a tuple of several, or
        None. Raises what ``invoke`` does.

        >>> module = chiwawa.load('''(module (func (export "both") (param i32) (result i32 f64)
        ...   (local.get 0) (f64.const 0.5)))''')
        >>> chiwawa.instantiate(module).call("both", -3)
        (-3, 0.5)
        """
        return together(self.invoke(name, args))

    async def call_async(self, name: str, *args: Any) -> Any:
        """``call`` in an event loop, which goes on meanwhile (see ``Run.go_async``). Raises
        ``Stopped`` where it is asked to stop, for whatever reason.

        >>> import asyncio
        >>> module = chiwawa.load('''(module (func (export "double") (param i32) (result i32)
        ...   (i32.mul (local.get 0) (i32.const 2))))''')
        >>> instances = [chiwawa.instantiate(module) for _ in range(3)]
        >>> async def main():
        ...     calls = [each.call_async("double", n) for n, each in enumerate(instances)]
        ...     return await asyncio.gather(*calls)
        >>> asyncio.run(main())
        [0, 2, 4]
        """
        run = Run(self, [self.prepared(name, args)], suspends=not self.running)
        if not await run.go_async():
            raise Stopped(run, run.requests.take())
        return together(run.results)

    def invoke(self, name: str, args: Sequence[Any] = ()) -> list[Any]:
        """Call the exported function ``name`` to its end; its results. Raises KeyError
        where there is no such function, TypeError and ValueError for arguments that are not of its
        types, Trap, Thrown, WasiExit and HostError, Stopped where it is stopped or its fuel or time
        is spent, and RunError where another thread runs the instance.

        >>> module = chiwawa.load('''(module (func (export "both") (param i32) (result i32 f64)
        ...   (local.get 0) (f64.const 0.5)))''')
        >>> chiwawa.instantiate(module).invoke("both", [-3])
        [-3, 0.5]
        """
        return self.returned(*self.prepared(name, args))

    def start(self, name: str, *args: Any) -> Run:
        """A run of the exported function ``name``, which ``resume`` begins. Raises KeyError,
        TypeError and ValueError as ``invoke`` does.

        >>> module = chiwawa.load('''(module (func (export "count") (param i32)
        ...   (loop $on (br_if $on (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))''')
        >>> run = chiwawa.instantiate(module).start("count", 1000)
        >>> run.resume(fuel=100), run.reasons
        (False, ['fuel'])
        >>> run.resume(fuel=10_000), run.result
        (True, None)
        """
        return Run(self, [self.prepared(name, args)])

    @property
    def fuel(self) -> int | None:
        """How many safepoints it, and what it is linked with, may pass yet while it is run; None
        where that has no limit (see ``Limits``).

        >>> module = chiwawa.load('''(module (func (export "count") (param i32) (result i32)
        ...   (loop $on (br_if $on (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        ...   (local.get 0)))''')
        >>> instance = chiwawa.instantiate(module, limits=chiwawa.Limits(fuel=100))
        >>> instance.call("count", 30), instance.fuel
        (0, 70)
        """
        return self.budget.left()

    def allow(self, *, fuel: int | None = None, time: float | None = None) -> None:
        """Have so much fuel, and so many seconds, left from here on (see ``Limits``); None: what
        is left stays. All runs and calls of the instance take from it. Raises UnsupportedError
        where the native path cannot begin to count safepoints any more.

        >>> module = chiwawa.load('''(module (func (export "count") (param i32) (result i32)
        ...   (loop $on (br_if $on (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        ...   (local.get 0)))''')
        >>> instance = chiwawa.instantiate(module)
        >>> instance.allow(fuel=100)
        >>> instance.call("count", 30), instance.fuel
        (0, 70)
        """
        self.budget.give(fuel, time)
        if self.running and self.budget.limited and not self.budget.begun:
            self.begin_budget()

    def stop(self) -> None:
        """Stop what runs at its next safepoint: a run (``Run.resume`` returns False), or a call
        (``Stopped`` is raised where it was made). What nobody waits for yet is stopped at its
        first. Of a call back from a host function, what has called that stops, after it has
        returned. Any thread may call it, and a signal handler.

        >>> module = chiwawa.load('(module (func (export "forever") (loop $on (br $on))))')
        >>> instance = chiwawa.instantiate(module)
        >>> instance.stop()  # as another thread does
        >>> try:
        ...     instance.exports.forever()
        ... except chiwawa.Stopped as stopped:
        ...     print(stopped.reasons, stopped.run.frames)
        ['stopped'] (<frame forever at 0x1: locals (), operands ()>,)
        """
        self.requests.ask(BY_CALLER)

    def returned(self, function: int, args: Sequence[Any]) -> list[Any]:
        """The results of a function, by index, of ``args`` that are as the program holds them."""
        return call(self, function, args)

    def probe(self, match: Any, action: Callable[[Any], object], *, writes: bool = False) -> Any:
        """Have ``action`` called at the boundaries that ``match`` (a ``chiwawa.Match``) selects,
        before their instructions, with a ``chiwawa.At``: where the program is, its operands,
        locals, globals and memories, and ways to have it stop, be checkpointed or trap. With
        ``writes`` it may change them. What it raises reaches the caller as the cause of a
        ``HostError``.

        Probes at one boundary fire in the order in which they were added. One that is added while
        the program runs fires from its next safepoint on; the ``chiwawa.Probe`` returned can be
        removed at any time. Raises BadInput where the match can match nothing, and
        UnsupportedError in an instance that only has a generated file.

        >>> module = chiwawa.load('''(module (func (export "count") (param i32) (result i32)
        ...   (loop $on (br_if $on (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        ...   (local.get 0)))''')
        >>> instance = chiwawa.instantiate(module)
        >>> rounds = []
        >>> probe = instance.probe(chiwawa.Match(op="loop"), lambda at: rounds.append(at.locals))
        >>> instance.call("count", 3), rounds
        (0, [(3,), (2,), (1,)])
        """
        if self.observer is None:
            if self.equip is None:
                raise UnsupportedError("probes take chiwawa.instantiate, start or restore")
            self.observe(self.equip())
        assert self.observer is not None
        return self.observer.probe(match, action, writes=writes)


class Stopped(RunError):
    """A call was stopped, for these ``reasons``: ``stopped`` (``Instance.stop``), ``fuel`` or
    ``timeout`` (``Limits``), ``stop`` or ``probe`` (``At.stop``, ``At.checkpoint``). ``run`` can go
    on with it, be checkpointed, or be dropped.

    >>> module = chiwawa.load('''(module (func (export "count") (param i32) (result i32)
    ...   (loop $on (br_if $on (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    ...   (local.get 0)))''')
    >>> instance = chiwawa.instantiate(module, limits=chiwawa.Limits(fuel=100))
    >>> try:
    ...     instance.call("count", 150)
    ... except chiwawa.Stopped as stopped:
    ...     print(stopped.reasons, stopped.run.resume(fuel=100), stopped.run.result)
    ['fuel'] True 0
    """

    def __init__(self, run: Run, reasons: Sequence[str]) -> None:
        super().__init__(f"the call was stopped ({', '.join(reasons)}): its run can go on")
        self.run = run
        self.reasons = list(reasons)


class Run(CallsInTurn["Instance"]):
    """The calls in ``plan``, one after the other. ``results`` are the last one's, once ``go`` has
    returned True. One thread at a time can have it go on, and write
    it to a checkpoint when it does not; the others are refused. What the program calls may call it
    back by ``Instance.invoke``, and ask it to stop.

    ``depth`` is that of the call stack beneath it. Unless it ``suspends``, it traps
    where fuel or time is spent.

    >>> module = chiwawa.load('''(module (func (export "count") (param i32) (result i32)
    ...   (loop $on (br_if $on (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    ...   (local.get 0)))''')
    >>> run = chiwawa.start(module, "count", [10])
    >>> run.requests.ask()
    >>> run.go(), run.requests.take()
    (False, ['api'])
    >>> run.go(), run.results
    (True, [0])
    """

    @property
    def failed(self) -> bool:
        """Whether it has ended otherwise than by returning."""
        return self._failure is not None

    @property
    def wasi(self) -> Wasi | None:
        """Its instance's state of WASI."""
        return self.instance.wasi

    @property
    def carry(self) -> dict[str, object]:
        """The Python state that travels in its instance's checkpoints, by name."""
        return self.instance.carry

    @property
    def beside(self) -> list[Instance]:
        """Instances that its checkpoints hold, too, though the program may not lead to them."""
        return self.instance.beside

    @property
    def results(self) -> list[Any]:
        """What the last call returned. Raises RunError where it has not.

        >>> module = chiwawa.load('''(module (func (export "count") (param i32) (result i32)
        ...   (loop $on (br_if $on (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        ...   (local.get 0)))''')
        >>> run = chiwawa.start(module, "count", [3])
        >>> run.go(), run.results
        (True, [0])
        """
        if not self.finished:
            raise RunError("there are no results yet: the run has not ended")
        if self._failure is not None:
            raise RunError(f"there are no results: the run ended with {self._failure}")
        return self._results

    @property
    def result(self) -> Any:
        """The same, as a call returns it: the value of its result, a tuple of several, or None.

        >>> module = chiwawa.load('''(module (func (export "count") (param i32) (result i32)
        ...   (loop $on (br_if $on (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        ...   (local.get 0)))''')
        >>> run = chiwawa.start(module, "count", [3])
        >>> run.resume(), run.result
        (True, 0)
        """
        return together(self.results)

    @property
    def frames(self) -> tuple[Frame, ...]:
        """Where it is stopped, the youngest frame first; none before it has begun, and after it has
        ended. Raises CheckpointError while it goes on.

        >>> module = chiwawa.load('''(module (func (export "count") (param i32) (result i32)
        ...   (loop $on (br_if $on (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        ...   (local.get 0)))''')
        >>> run = chiwawa.start(module, "count", [3], count=2)
        >>> run.go(), run.frames
        (False, (<frame count at 0x1: locals (2,), operands ()>,))
        """
        with self.still():
            return () if self.activation is None else frames_of(self.activation.frames())

    def __repr__(self) -> str:
        state = "ended" if self.finished else "going on" if self._going else "stopped"
        return f"<run of {self.instance!r}: {state}>"

    def resume(self, *, fuel: int | None = None, time: float | None = None) -> bool:
        """``allow`` that, and ``go``; where it has stopped, ``reasons`` says why, and nothing is
        pending any more that would stop it again.

        >>> module = chiwawa.load('''(module (func (export "count") (param i32) (result i32)
        ...   (loop $on (br_if $on (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        ...   (local.get 0)))''')
        >>> run = chiwawa.start(module, "count", [300])
        >>> run.resume(fuel=200), run.reasons, run.resume(fuel=200), run.reasons
        (False, ['fuel'], True, [])
        """
        self.allow(fuel=fuel, time=time)
        done = self.go()
        self.reasons = [] if done else self.requests.take()
        if self.instance.running:
            # What waits for this, since a host function has it go on, has no more to spend either.
            for reason in MESSAGES:
                if reason in self.reasons:
                    self.requests.ask(reason)
        return done

    def go(self) -> bool:
        """Run until all calls have returned (True), or a request or a host function (by raising
        ``Interrupted``) stops it at a safepoint (False); which requests is in ``requests.take()``.
        Raises Trap, Thrown, WasiExit, HostError, each once: then RunError, as it does where the run
        is going on already, in another thread or beneath the caller.

        >>> module = chiwawa.load('''(module (func (export "count") (param i32) (result i32)
        ...   (loop $on (br_if $on (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        ...   (local.get 0)))''')
        >>> run = chiwawa.start(module, "count", [300], count=200)
        >>> run.go(), run.requests.take(), run.go()
        (False, ['count'], True)
        """
        mine = self.instance.turns
        turns.begin(mine)
        try:
            done = self.proceed()
            if not done:
                for other in self.instance.reached[1:]:
                    for reason in other.requests.take():
                        self.requests.ask(reason)
            return done
        finally:
            turns.end(mine)

    async def go_async(self, *, every: int | None = None) -> bool:
        """``go`` in an event loop, which goes on meanwhile: a program that Python runs gives way to
        other tasks after ``every`` so many safepoints (None: as many as take some tenths of a
        millisecond), and one that runs natively has a thread of its own. Host functions may be
        ``async def``: the program stands before such a call until it has ended, and can be
        checkpointed there. Where this is cancelled, the run is stopped, and can go on.

        >>> import asyncio
        >>> async def double(n):
        ...     await asyncio.sleep(0)
        ...     return 2 * n
        >>> module = chiwawa.load('''(module
        ...   (import "host" "double" (func $double (param i32) (result i32)))
        ...   (func (export "f") (result i32) (call $double (i32.const 21))))''')
        >>> run = chiwawa.start(module, "f", imports={"host": {"double": double}})
        >>> asyncio.run(run.go_async()), run.results
        (True, [42])
        """
        from chiwawa_runtime.run import asynchronous

        return await asynchronous.go(self, every)

    def allow(self, *, fuel: int | None = None, time: float | None = None) -> None:
        """Have so much fuel, and so many seconds, left from here on (see ``Limits``); None: what
        is left stays. They are the instance's, which all its runs take from.

        >>> module = chiwawa.load('''(module (func (export "count") (param i32) (result i32)
        ...   (loop $on (br_if $on (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        ...   (local.get 0)))''')
        >>> run = chiwawa.start(module, "count", [300])
        >>> run.allow(fuel=200)
        >>> run.go(), run.requests.take(), run.instance.fuel
        (False, ['fuel'], 0)
        """
        self.instance.allow(fuel=fuel, time=time)

    def snapshot(self) -> Snapshot:
        """The state, where the run is stopped. Encode it before the run goes on. Raises
        CheckpointError where it is not stopped, and where there is something that a checkpoint
        cannot hold.

        >>> module = chiwawa.load('''(module (func (export "count") (param i32) (result i32)
        ...   (loop $on (br_if $on (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        ...   (local.get 0)))''')
        >>> run = chiwawa.start(module, "count", [300], count=200)
        >>> run.go(), run.snapshot().safepoints
        (False, 200)
        """
        with self.still():
            return self.captured()

    def checkpoint(self) -> bytes:
        """The checkpoint file's bytes, where the run is stopped. Raises CheckpointError.

        >>> module = chiwawa.load('''(module (func (export "count") (param i32) (result i32)
        ...   (loop $on (br_if $on (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        ...   (local.get 0)))''')
        >>> run = chiwawa.start(module, "count", [300], count=200)
        >>> run.go()
        False
        >>> forks = [chiwawa.restore(module, run.checkpoint(), path="interp") for _ in range(2)]
        >>> [fork.resume() for fork in forks]
        [True, True]
        """
        with self.still():
            data = checkpoint.encode(self.captured())
            if self.instance.calls is not None:
                self.instance.calls.mark(digest_of(data), self.instances())
        return data


def call(instance: Instance, function: int, args: Sequence[Any]) -> list[Any]:
    """Call to the end, whatever is asked for meanwhile, but that it be stopped (``Stopped``), which
    it is where fuel or time is spent, too. What a host function calls back cannot be stopped in the
    middle: such a request stops what has called the host function, when that has returned; and
    where fuel or time is spent, it traps."""
    mine = instance.turns
    turns.begin(mine)
    try:
        calls = instance.calls
        if calls is None or not calls.is_reached():
            return called(instance, function, args)
        with calls.called_back(instance, function, args):
            return called(instance, function, args)
    finally:
        turns.end(mine)


def called(instance: Instance, function: int, args: Sequence[Any]) -> list[Any]:
    """``call``, for a thread whose turn it is."""
    generation = instance.generation if instance.running else 0
    taken: list[tuple[ModuleInstance, str]] = []
    instance.nesting += 1
    try:
        if instance.nesting > MOST_NESTING:
            raise Exhaustion
        suspends = not instance.running
        run = Run(instance, [(function, args)], depth=instance.depth, suspends=suspends)
        while not run.proceed():
            # As long as they were pending, no host function would wait for anything.
            reasons = [(i, reason) for i in instance.reached for reason in i.requests.take()]
            if not reasons:
                raise run.unstoppable()
            stopping = [reason for _, reason in reasons if reason in STOPPING_CALLS]
            if suspends and stopping:
                taken += [each for each in reasons if each[1] not in STOPPING_CALLS]
                raise Stopped(run, stopping)
            taken += reasons
        return run.results
    finally:
        instance.nesting -= 1
        for asked, reason in taken:
            if asked is not instance or instance.running:
                # Somebody may be there, beneath this call, who can stop.
                asked.requests.ask(reason)
        if instance.running and instance.generation != generation:
            # It still runs what was prepared before.
            instance.requests.ask(CHANGE)
