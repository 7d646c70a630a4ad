"""Between a program and the host functions that it imports: what their calls did is kept, and given
back where the program runs again.

A call that is given back calls nobody: its results are the program's again, and so is what it
changed in memories and globals. So a program runs again without its files, its input and the time
of then. Where nobody keeps calls, none of this is there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from chiwawa_runtime.engine.awaiting import awaited, is_async
from chiwawa_runtime.engine.instance import Importable, Imports
from chiwawa_runtime.errors import (
    Abrupt,
    Exhaustion,
    HostError,
    Interrupted,
    ReplayError,
    Trap,
    UnlinkableError,
    UnsupportedError,
    WasiExit,
)
from chiwawa_runtime.run.call_effects import (
    Before,
    Tracked,
    apply,
    damaged,
    held,
    typed_value,
)
from chiwawa_runtime.run.call_record import (
    CALL,
    END,
    EXHAUSTED,
    EXITED,
    FAILED,
    RETURNED,
    TRAPPED,
    Beginning,
    Call,
    Effects,
    RecordError,
    RecordFile,
    Typed,
    beginning_bytes,
    call_bytes,
    call_head,
    checkpoint_bytes,
    entries_of,
    read_beginning,
    read_call,
)
from chiwawa_runtime.state.program import Program
from chiwawa_runtime.state.store import Function, HostFunction, coerce_results
from chiwawa_runtime.state.subtyping import stated
from chiwawa_runtime.state.types import I32, I64, DefType

#: What is given of outputs: 1 or 2, and the bytes.
Show = Callable[[int, bytes], object]


class HostCalls:
    """The calls of one program. Those that it knows are given back, in order; where it knows no
    more, functions are called if it is ``live``, and what they did is kept: written to ``file``,
    where there is one, and in memory unless it ``forgets``. ``show`` is given what calls that are
    given back have written to standard output and error.

    ``chiwawa.record_calls`` and ``chiwawa.replay_calls`` make one.
    """

    def __init__(
        self,
        entries: Sequence[bytes] = (),
        *,
        live: bool,
        file: RecordFile | None = None,
        forgets: bool = False,
        show: Show | None = None,
    ) -> None:
        self.entries = list(entries)
        #: How many entries there were before the first that is kept.
        self.dropped = 0
        self.position = 0
        self.live = live
        self.file = file
        self.forgets = forgets
        self.show = show
        #: Whether it is known which program it is of, and where that began.
        self.begun = False
        #: Whether a host function is being called.
        self.calling = False
        #: Whether states of WASI are not those of checkpoints.
        self.keeps_state = not live
        #: What there was before calls, by function, that are awaited.
        self.awaiting: dict[int, Before] = {}
        #: The Wasi whose functions are called.
        self.state: Any = None
        #: What the call in progress has written to outputs.
        self.outputs: list[tuple[int, bytes]] = []

    def __enter__(self) -> HostCalls:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Have the file closed, if there is one. Later calls are not kept in it."""
        if self.file is not None:
            self.file.close()

    # Entries.

    @property
    def end(self) -> int:
        return self.dropped + len(self.entries)

    def next_call(self) -> bytes | None:
        """The entry of the next call, where it is known."""
        while self.position < self.end:
            content = self.entries[self.position - self.dropped]
            if content[0] == CALL:
                return content
            if content[0] == END and not self.live:
                return None
            self.position += 1
        return None

    def append(self, content: bytes) -> None:
        if self.file is not None:
            self.file.append(content)
        if self.forgets:
            self.dropped += 1
        else:
            self.entries.append(content)
        self.position = self.end

    def drop_before(self, position: int) -> None:
        """Nobody goes back to before that any more."""
        count = position - self.dropped
        if count > 0:
            del self.entries[:count]
            self.dropped = position

    def again(self, position: int) -> HostCalls:
        """What gives the calls from there on back, to a run that stands there."""
        known = HostCalls(self.entries[position - self.dropped :], live=False)
        known.begun = True
        return known

    def begin(
        self, module_hash: bytes, canonical_nans: bool, digest: Callable[[], bytes | None]
    ) -> None:
        """A run begins: where ``digest`` gives that of a checkpoint, there, and else with the
        program. Only the first one counts. Raises RecordError where it is not one of those that
        the record knows."""
        if self.begun:
            return
        self.begun = True
        start = digest()
        if self.live:
            beginning = Beginning(module_hash, canonical_nans, start is None)
            contents = [beginning_bytes(beginning)]
            if start is not None:
                contents.append(checkpoint_bytes(start))
            if self.file is not None:
                self.file.begin(contents)
            if not self.forgets:
                self.entries += contents
            self.position = self.end
            return
        recorded = read_beginning(self.entries[0])
        if recorded.hash != module_hash:
            raise RecordError(
                f"this record is of another module: its sha256 is {recorded.hash.hex()}, the given "
                f"module's {module_hash.hex()}"
            )
        if recorded.canonical_nans != canonical_nans:
            was, is_ = ("with", "without") if recorded.canonical_nans else ("without", "with")
            raise RecordError(
                f"the program was recorded {was} canonical NaNs, and is run {is_} them"
            )
        if start is None:
            if not recorded.whole:
                raise RecordError(
                    "this record begins at a checkpoint, which is to be given with it (--restore)"
                )
            self.position = 1
            return
        try:
            self.position = self.entries.index(checkpoint_bytes(start)) + 1
        except ValueError:
            raise RecordError(
                "this checkpoint is none of those that were written while the record was made"
            ) from None

    def mark(self, digest: bytes) -> None:
        """A checkpoint is written."""
        if self.live and self.position == self.end:
            self.append(checkpoint_bytes(digest))

    def finish(self) -> None:
        """The program has returned. Raises ReplayError where it made more calls."""
        if self.live:
            if self.entries and self.entries[-1][0] == END:
                return
            self.append(bytes((END,)))
        elif self.next_call() is not None:
            raise ReplayError(
                f"replayed, the program ends after {self.number()} calls: when it was recorded, it "
                "made more"
            )

    def number(self) -> int:
        """How many calls of the entries that are there have been made."""
        made = self.entries[: self.position - self.dropped]
        return sum(content[0] == CALL for content in made)

    # Functions.

    def imports(self, program: Program, given: Imports) -> Imports:
        """``given``, with a function for each that ``program`` imports through which its calls go.
        Those that are only given back need not be given. Raises UnsupportedError for functions of
        other instances."""
        result: dict[str, dict[str, Importable]] = {}
        index = 0
        for spec in program.imports:
            value = given.get(spec.module, {}).get(spec.name)
            if isinstance(spec.type, DefType):
                if isinstance(value, Function):
                    raise UnsupportedError(
                        f'"{spec.module}" "{spec.name}": calls are not recorded of a program that '
                        "imports functions of other instances"
                    )
                name = f"{spec.module}.{spec.name}"
                if callable(value):
                    value = HostFunction(spec.type.functype, value, name)
                if value is None and not self.live:
                    value = HostFunction(spec.type.functype, missing, name)
                if value is not None and not isinstance(value, HostFunction):
                    raise UnlinkableError(
                        f'incompatible import type for "{spec.module}" "{spec.name}"'
                    )
                if value is not None:
                    value = self.function(index, value)
                index += 1
            if value is not None:
                result.setdefault(spec.module, {})[spec.name] = value
        return result

    def function(self, index: int, host: HostFunction) -> HostFunction:
        """``host``, which is imported as the function ``index``, so that its calls go through
        here."""
        if is_async(host.call):
            host = replace(host, call=awaited(host.call, host.name))
        types = host.type.params
        kinds = [stated(t) for t in types]
        integers = all(t is I32 or t is I64 for t in types)
        masks = [(1 << t.bits) - 1 if t is I32 or t is I64 else 0 for t in types]
        tracked: list[tuple[Any, Tracked]] = []

        def call(instance: Any, *args: Any) -> Any:
            if integers:
                typed: list[Typed] = [
                    (t, a & m) for t, a, m in zip(kinds, args, masks, strict=True)
                ]
            else:
                typed = [typed_value(instance, t, a) for t, a in zip(types, args, strict=True)]
            known = self.next_call()
            if known is not None or not self.live:
                return self.give_back(instance, host, index, typed, known)
            head = call_head(index, typed)
            if not host.with_instance or host.state is None:
                return self.make(instance, host, index, typed, head, instance, args)
            # It reaches the program by the instance that it is given alone.
            if not tracked or tracked[0][0] is not instance:
                tracked[:] = [(instance, Tracked(instance))]
            return self.make(instance, host, index, typed, head, tracked[0][1], args)

        return replace(host, call=call, with_instance=True, state=host.state if self.live else None)

    # Calls that are made.

    def make(
        self,
        instance: Any,
        host: HostFunction,
        index: int,
        args: Sequence[Typed],
        head: bytes,
        given: Any,
        values: Sequence[Any],
    ) -> Any:
        """Call ``host`` and keep what it did. ``given`` is the instance that it is to see."""
        if self.calling:
            raise HostError(
                f"host function {host.name}: a host function has called the program, which a "
                "record of calls cannot hold"
            )
        self.outputs = []
        before = None
        if not isinstance(given, Tracked):
            before = self.awaiting.pop(index, None) or Before(instance)
        if isinstance(given, Tracked):
            given.writes = []
        results: Any = None
        failure: BaseException | None = None
        self.calling = True
        try:
            value = host.call(given, *values) if host.with_instance else host.call(*values)
            results = coerce_results(value, host.type.results)
        except Interrupted:
            # It will be made again, and has had no effect but where it is awaited meanwhile.
            if before is not None:
                self.awaiting[index] = before
            raise
        except Exception as error:
            failure = error
        finally:
            self.calling = False
        effects = given.effects() if before is None else before.effects(instance, host.name)
        effects.outputs = self.outputs
        types = host.type.results
        call = ended_by(failure, host.name)
        if failure is None:
            held = [results] if len(types) == 1 else list(results or ())
            kept = [
                typed_value(instance, t, v, host.name) for t, v in zip(types, held, strict=True)
            ]
            call = Call(index, args, RETURNED, effects, kept)
        else:
            call = replace(call, function=index, args=args, effects=effects)
        self.append(call_bytes(head, call))
        if failure is not None:
            raise failure
        return results

    def wrote(self, stream: int, data: bytes) -> None:
        """The function that is called has written ``data`` to standard output or error."""
        if self.calling:
            self.outputs.append((stream, data))

    # Calls that are given back.

    def give_back(
        self,
        instance: Any,
        host: HostFunction,
        index: int,
        args: Sequence[Typed],
        content: bytes | None,
    ) -> Any:
        if content is None:
            if self.position < self.end:
                raise ReplayError(
                    f"replayed, the program calls {host.name}: when it was recorded, it had ended"
                )
            raise ReplayError(
                f"replayed, the program calls {host.name}: the record ends before that, after "
                f"{self.number()} calls"
            )
        call = recorded(content)
        if not content.startswith(call_head(index, args)):
            raise self.divergence(instance, host, index, args, call)
        apply(instance, call.effects)
        self.position += 1
        if self.show is not None:
            for stream, data in call.effects.outputs:
                self.show(stream, data)
        if call.ended == EXITED:
            raise WasiExit(call.status)
        if call.ended == EXHAUSTED:
            raise Exhaustion(call.text)
        if call.ended == TRAPPED:
            raise Trap(call.text)
        if call.ended == FAILED:
            raise HostError(call.text)
        types = host.type.results
        if [t for t, _ in call.results] != [stated(t) for t in types]:
            raise damaged(f"the results of {host.name} are of other types")
        results = [held(instance, value) for _, value in call.results]
        return results[0] if len(results) == 1 else results if results else None

    def divergence(
        self, instance: Any, host: HostFunction, index: int, args: Sequence[Typed], call: Call
    ) -> ReplayError:
        """What the program has done that it did not do when it was recorded."""
        number = self.number() + 1
        if call.function == index:
            was, is_ = shown(call.args), shown(args)
            return ReplayError(
                f"replayed, the program does something else: call {number} of {host.name} has the "
                f"arguments {is_}, and had {was}"
            )
        functions = instance.functions
        name = (
            functions[call.function].name
            if call.function < len(functions)
            else f"function {call.function}"
        )
        return ReplayError(
            f"replayed, the program does something else: call {number} is of {host.name}, and was "
            f"of {name}"
        )


def missing(*args: object) -> None:
    raise AssertionError("calls of it are given back")


def record_calls(path: str | os.PathLike[str] | None = None) -> HostCalls:
    """What keeps the calls that a program makes of its host functions, and what they did, in a new
    file, or in memory (None). Give it to ``chiwawa.start`` or ``chiwawa.restore``, as ``calls``; it
    is for one program. Raises RecordError, there, where the file cannot be written.

    >>> module = chiwawa.load('''(module (import "host" "time" (func $time (result i64)))
    ...   (func (export "now") (result i64) (call $time)))''')
    >>> import time
    >>> imports = {"host": {"time": time.time_ns}}
    >>> with chiwawa.record_calls("calls.rec") as calls:
    ...     run = chiwawa.start(module, "now", imports=imports, calls=calls)
    ...     done = run.go()
    >>> calls = chiwawa.replay_calls("calls.rec")
    >>> again = chiwawa.start(module, "now", path="interp", calls=calls)
    >>> again.go(), again.results == run.results
    (True, True)
    """
    if path is None:
        return HostCalls(live=True)
    return HostCalls(live=True, file=RecordFile(path), forgets=True)


def replay_calls(source: str | os.PathLike[str] | HostCalls, show: Show | None = None) -> HostCalls:
    """What gives a program the calls back that a record has: a file, or a recording in memory.
    Give it to ``chiwawa.start``, or to ``chiwawa.restore`` with a checkpoint that was written while
    the record was made, as ``calls``; host functions and WASI need not be given then. ``show`` is
    called with what calls have written to standard output (1) and error (2). Where the program does
    anything else than it did, that is a ``ReplayError``. Raises RecordError.

    >>> module = chiwawa.load('''(module (import "host" "next" (func $next (result i32)))
    ...   (func (export "sum") (result i32) (i32.add (call $next) (call $next))))''')
    >>> calls = chiwawa.record_calls()
    >>> numbers = iter([20, 22])
    >>> imports = {"host": {"next": lambda: next(numbers)}}
    >>> chiwawa.start(module, "sum", imports=imports, calls=calls).go()
    True
    >>> run = chiwawa.start(module, "sum", calls=chiwawa.replay_calls(calls))
    >>> run.go(), run.results
    (True, [42])
    """
    if isinstance(source, HostCalls):
        return HostCalls(source.entries, live=False, show=show)
    path = os.fspath(source)
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise RecordError(f"cannot read {path}: {error.strerror or error}") from error
    try:
        return HostCalls(entries_of(data)[0], live=False, show=show)
    except RecordError as error:
        raise RecordError(f"{path}: {error}") from error


# How calls end.


def ended_by(failure: BaseException | None, name: str) -> Call:
    """How a call has ended that has raised ``failure``. Raises HostError for what cannot be
    kept."""
    nothing = Effects()
    if isinstance(failure, WasiExit):
        return Call(0, (), EXITED, nothing, status=failure.code)
    if isinstance(failure, Exhaustion):
        return Call(0, (), EXHAUSTED, nothing, text=failure.message)
    if isinstance(failure, Trap):
        return Call(0, (), TRAPPED, nothing, text=failure.message)
    if isinstance(failure, HostError):
        return Call(0, (), FAILED, nothing, text=str(failure))
    if isinstance(failure, Abrupt):
        raise HostError(
            f"host function {name}: it threw an exception, which a record of calls cannot hold"
        ) from failure
    # As the engine says it.
    kind = type(failure).__name__
    return Call(0, (), FAILED, nothing, text=f"host function {name}: {kind}: {failure}")


def shown(args: Sequence[Typed]) -> str:
    return "(" + ", ".join(str(value) for _, value in args) + ")"


def recorded(content: bytes) -> Call:
    """A call, where the program runs already."""
    try:
        return read_call(content)
    except RecordError as error:
        raise ReplayError(str(error)) from None


def digest_of(data: bytes) -> bytes:
    """That of a checkpoint file."""
    return data[-32:]
