"""Between a program and the host functions that it imports: what their calls did is kept, and given
back where the program runs again.

A call that is given back calls nobody: its results are the program's again, and so is what it
changed in memories, globals and tables; and where it called the program back, the program is called
again. So a program runs again without its files, its input and the time of then. Where nobody keeps
calls, none of this is there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from chiwawa_runtime.checkpoint import write_file
from chiwawa_runtime.engine.awaiting import awaited, is_async
from chiwawa_runtime.engine.instance import Importable, Imports
from chiwawa_runtime.errors import (
    Abrupt,
    CheckpointError,
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
    Instances,
    Making,
    Tracked,
    apply,
    damaged,
)
from chiwawa_runtime.run.call_record import (
    BACK,
    CALL,
    CHECKPOINT,
    END,
    EXHAUSTED,
    EXITED,
    FAILED,
    INSTANCE,
    RETURNED,
    THREW,
    TRAPPED,
    Call,
    Effects,
    Made,
    Place,
    Read,
    RecordError,
    RecordFile,
    Typed,
    back_bytes,
    beginning_bytes,
    call_bytes,
    call_head,
    check_same,
    checkpoint_bytes,
    instance_bytes,
    made_in,
    read_back,
    read_beginning,
    read_call,
    read_end,
    read_instance,
    read_order,
    record_bytes,
)
from chiwawa_runtime.run.numbering import home_of
from chiwawa_runtime.state.program import Program
from chiwawa_runtime.state.store import Function, HostFunction, coerce_results
from chiwawa_runtime.state.subtyping import stated
from chiwawa_runtime.state.types import I32, I64, DefType

#: What is given of outputs: 1 or 2, and the bytes.
Show = Callable[[int, bytes], object]


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a program stands in a record: the entry that is next, and the numbers that its
    instances have, in the order of a checkpoint."""

    position: int = 0
    order: tuple[int, ...] = (0,)


class HostCalls:
    """The calls of one program, whose instances may be several. Those that it knows are given back,
    in order; where it knows no more, functions are called if it is ``live``, and what they did is
    kept: written to ``file``, where there is one, and in memory unless it ``forgets``. ``show`` is
    given what calls that are given back have written to standard output and error.

    ``chiwawa.record_calls`` and ``chiwawa.replay_calls`` make one (see ``recordings``).
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
        self.instances = Instances()
        #: What those are made of that have a number.
        self.made: list[Made] = []
        #: The numbers of the instances of the checkpoint that is restored.
        self.order: tuple[int, ...] = (0,)
        #: The calls that are being made, the last one last, and whether it is its host function
        #: that runs, and not the program that this calls back.
        self.making: list[Making] = []
        self.calling = False
        #: Whether states of WASI are not those of checkpoints.
        self.keeps_state = not live
        #: What there was before calls, by function, that are awaited.
        self.awaiting: dict[Place, Before] = {}
        #: The Wasi whose functions are called.
        self.state: Any = None

    def __enter__(self) -> HostCalls:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Have the file closed, if there is one. Later calls are not kept in it."""
        if self.file is not None:
            self.file.close()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write what is kept in memory to a file, whole or not at all. Raises CheckpointError where
        it cannot be written.

        >>> module = chiwawa.load('''(module (import "host" "next" (func $next (result i32)))
        ...   (func (export "next") (result i32) (call $next)))''')
        >>> calls = chiwawa.record_calls()
        >>> imports = {"host": {"next": lambda: 7}}
        >>> chiwawa.start(module, "next", imports=imports, calls=calls).go()
        True
        >>> calls.save("calls.rec")
        >>> run = chiwawa.start(module, "next", calls=chiwawa.replay_calls("calls.rec"))
        >>> run.go(), run.result
        (True, 7)
        """
        write_file(path, record_bytes(self.entries))

    # Entries.

    @property
    def end(self) -> int:
        return self.dropped + len(self.entries)

    def next_call(self) -> bytes | None:
        """The entry of the next call, or of a call back in it, where it is known."""
        content = self.next_entry()
        return content if content is not None and content[0] in (CALL, BACK) else None

    def next_entry(self) -> bytes | None:
        """The next entry that is no checkpoint's, where there is one: what has ended has been gone
        on with, if it is not the last."""
        while self.position < self.end:
            content = self.entries[self.position - self.dropped]
            if content[0] not in (CHECKPOINT, END) or (content[0] == END and not self.live):
                return content
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

    def standing(self, instances: Iterable[Any]) -> Standing:
        """Where a program stands that is made of ``instances``, in the order of a checkpoint.
        Raises CheckpointError where calls of one of them do not go through here."""
        numbers = self.instances.numbers
        order = [numbers.get(id(instance)) for instance in instances]
        known = tuple(number for number in order if number is not None)
        if len(known) < len(order):
            raise CheckpointError(
                "calls of an instance that the program is linked with are not recorded: "
                "give it the same calls"
            )
        return Standing(self.position, known)

    def stand(self, standing: Standing) -> None:
        """A program is restored that stands there."""
        self.position, self.order = standing.position, standing.order

    def again(self, standing: Standing) -> HostCalls:
        """What gives the calls from there on back, to a run that stands there."""
        known = HostCalls(self.entries[standing.position - self.dropped :], live=False)
        known.begun = True
        known.made = list(self.made)
        known.order = standing.order
        return known

    def begin(self, made: Made) -> None:
        """An instance is going to be made: the first is where the program begins. Raises
        RecordError where the record knows of another."""
        if self.live:
            if not self.begun:
                self.write_first([beginning_bytes(made, True)])
            else:
                self.append(instance_bytes(made))
        elif self.begun:
            content = self.next_entry()
            if content is None or content[0] != INSTANCE:
                raise RecordError("this record knows of no further instance there")
            check_same(read_instance(content), made)
            self.position += 1
        else:
            recorded, whole = read_beginning(self.entries[0])
            check_same(recorded, made)
            if not whole:
                raise RecordError(
                    "this record begins at a checkpoint, which is to be given with it (--restore)"
                )
            self.position = 1
        self.begun = True
        self.made.append(made)

    def write_first(self, contents: Sequence[bytes]) -> Sequence[bytes]:
        """Begin with these, or go on with what has come before: the entries that are there."""
        there = contents if self.file is None else self.file.begin(contents)
        if not self.forgets:
            self.entries += contents
        self.position = self.end
        return there

    def added(self, instance: Any) -> None:
        """The instance that ``begin`` has announced is there."""
        self.instances.add(instance)
        instance.calls = self

    def begin_at(self, made: Sequence[Made], digest: Callable[[], bytes]) -> None:
        """The instances of a checkpoint are going to be made; where they are the first, that is
        where the record begins, or one of those that it knows. Raises RecordError."""
        if self.begun:
            return
        self.begun = True
        order = range(len(made))
        if self.live:
            others = map(instance_bytes, made[1:])
            contents = [beginning_bytes(made[0], False), *others, checkpoint_bytes(digest(), order)]
            there = self.write_first(contents)
            self.made, self.order = made_in(there), read_order(there[-1])
            return
        known = made_in(self.entries)
        if made[0].hash not in [each.hash for each in known]:
            check_same(known[0], made[0])
        start = bytes((CHECKPOINT,)) + digest()
        places = [at for at, content in enumerate(self.entries) if content.startswith(start)]
        if not places:
            raise RecordError(
                "this checkpoint is none of those that were written while the record was made"
            )
        self.position = places[0] + 1
        self.made = made_in(self.entries[: self.position])
        self.order = read_order(self.entries[places[0]])
        if len(self.order) != len(made) or not all(n < len(self.made) for n in self.order):
            raise RecordError("the record is damaged: a checkpoint is of other instances")
        for number, each in zip(self.order, made, strict=True):
            check_same(self.made[number], each)

    def restored(self, instances: Sequence[Any]) -> None:
        """The instances of a checkpoint are there, in its order."""
        made: list[Any] = [None] * max(len(self.made), max(self.order) + 1)
        for number, instance in zip(self.order, instances, strict=True):
            made[number] = instance
            instance.calls = self
        self.instances = Instances(made)

    def mark(self, digest: bytes, instances: Iterable[Any]) -> None:
        """A checkpoint is written, of these. Raises CheckpointError as ``standing``."""
        if self.live and self.position == self.end:
            self.append(checkpoint_bytes(digest, self.standing(instances).order))

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
        instances whose calls go elsewhere."""
        result: dict[str, dict[str, Importable]] = {}
        index = 0
        for spec in program.imports:
            value = given.get(spec.module, {}).get(spec.name)
            if isinstance(spec.type, DefType):
                name = f"{spec.module}.{spec.name}"
                if isinstance(value, Function):
                    if id(home_of(value)) not in self.instances.numbers:
                        raise UnsupportedError(
                            f'"{spec.module}" "{spec.name}": it is a function of an instance whose '
                            "calls are not recorded: give that the same calls"
                        )
                elif callable(value):
                    value = HostFunction(spec.type.functype, value, name)
                if value is None and not self.live:
                    value = HostFunction(spec.type.functype, missing, name)
                if isinstance(value, HostFunction):
                    value = self.function(index, value)
                elif value is not None and not isinstance(value, Function):
                    raise UnlinkableError(
                        f'incompatible import type for "{spec.module}" "{spec.name}"'
                    )
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
        tracked: list[Tracked] = []

        def call(instance: Any, *args: Any) -> Any:
            number = self.instances.numbers[id(instance)]
            if integers:
                typed: list[Typed] = [
                    (t, a & m) for t, a, m in zip(kinds, args, masks, strict=True)
                ]
            else:
                as_kept = self.instances.typed
                typed = [as_kept(t, a) for t, a in zip(types, args, strict=True)]
            known = self.next_entry()
            if known is not None or not self.live:
                return self.give_back(host, (number, index), typed, known)
            if not host.with_instance or host.state is None:
                return self.make(host, (number, index), typed, instance, args)
            # It reaches the program by the instance that it is given alone.
            if not tracked or tracked[0].instance is not instance:
                tracked[:] = [Tracked(instance, number)]
            return self.make(host, (number, index), typed, tracked[0], args)

        return replace(host, call=call, with_instance=True, state=host.state if self.live else None)

    # Calls that are made.

    def make(
        self, host: HostFunction, place: Place, args: Sequence[Typed], given: Any, values: Any
    ) -> Any:
        """Call ``host`` and keep what it did. ``given`` is the instance that it is to see."""
        before = given if isinstance(given, Tracked) else self.awaiting.pop(place, None)
        making = Making(host.name, call_head(place, args), before or Before(self.instances))
        results: Any = None
        failure: BaseException | None = None
        self.making.append(making)
        self.calling = True
        try:
            value = host.call(given, *values) if host.with_instance else host.call(*values)
            results = coerce_results(value, host.type.results)
        except Interrupted:
            # It will be made again, and has had no effect but where it is awaited meanwhile.
            if isinstance(making.before, Before):
                self.awaiting[place] = making.before
            raise
        except Exception as error:
            failure = error
        finally:
            self.calling = False
            self.making.pop()
        effects = making.effects()
        types = host.type.results
        if failure is None:
            held = [results] if len(types) == 1 else list(results or ())
            as_kept = self.instances.typed
            kept = [as_kept(t, v, host.name) for t, v in zip(types, held, strict=True)]
            call = Call(place, args, RETURNED, effects, kept)
        else:
            ended = self.instances.ended_by(failure, place, host.name)
            call = replace(ended, args=args, effects=effects)
        self.append(call_bytes(making.head, call))
        if failure is not None:
            raise failure
        return results

    def check_going(self) -> None:
        """Raises HostError where a host function has a run go on: nobody knows where it began."""
        if self.calling:
            raise HostError(
                f"host function {self.making[-1].name}: it has a run of the program go on, which a "
                "record of calls cannot hold"
            )

    def is_reached(self) -> bool:
        """Whether it is a host function that calls the program. Raises HostError where that awaits
        something meanwhile: nobody could say when the program was called."""
        if self.awaiting and not self.making:
            raise HostError(
                "a host function that is awaited has called the program, which a record of calls "
                "cannot hold"
            )
        return self.calling

    @contextmanager
    def called_back(self, instance: Any, function: int, args: Sequence[Any]) -> Iterator[None]:
        """A context in which the host function that runs calls the program's ``function``. Raises
        HostError where a record cannot hold that."""
        making = self.making[-1]
        number = self.instances.numbers.get(id(instance))
        assert number is not None
        types = instance.functions[function].type.params
        as_kept = self.instances.typed
        given = [as_kept(t, v, making.name) for t, v in zip(types, args, strict=True)]
        self.append(back_bytes(making.head, making.effects(), (number, function), given))
        self.calling = False
        try:
            yield
        finally:
            self.calling = True
            if isinstance(making.before, Before):
                # What the program has changed, it changes again.
                making.before = Before(self.instances)

    def wrote(self, stream: int, data: bytes) -> None:
        """The function that is called has written ``data`` to standard output or error."""
        if self.calling:
            self.making[-1].outputs.append((stream, data))

    # Calls that are given back.

    def give_back(
        self,
        host: HostFunction,
        place: Place,
        args: Sequence[Typed],
        content: bytes | None,
    ) -> Any:
        head = call_head(place, args)
        while content is not None and content[0] == BACK:
            self.call_back(content, host, place, args, head)
            content = self.next_entry()
        if content is None or content[0] != CALL:
            if content is not None or self.position < self.end:
                raise ReplayError(
                    f"replayed, the program calls {host.name}: when it was recorded, it had ended"
                )
            raise ReplayError(
                f"replayed, the program calls {host.name}: the record ends before that, after "
                f"{self.number()} calls"
            )
        if not content.startswith(head):
            call = recorded(lambda: read_call(content))
            raise self.divergence(host, place, args, call.function, call.args)
        call = recorded(lambda: read_end(content, head, place, args))
        self.position += 1
        self.do_again(call.effects)
        if call.ended == EXITED:
            raise WasiExit(call.status)
        if call.ended == EXHAUSTED:
            raise Exhaustion(call.text)
        if call.ended == TRAPPED:
            raise Trap(call.text)
        if call.ended == FAILED:
            raise HostError(call.text)
        if call.ended == THREW:
            raise self.instances.thrown(call)
        types = host.type.results
        if [t for t, _ in call.results] != [stated(t) for t in types]:
            raise damaged(f"the results of {host.name} are of other types")
        results = [self.instances.held(value) for _, value in call.results]
        return results[0] if len(results) == 1 else results if results else None

    def call_back(
        self,
        content: bytes,
        host: HostFunction,
        place: Place,
        args: Sequence[Typed],
        head: bytes,
    ) -> None:
        """Call the program back as ``host`` did. How that ends, it does by itself; what became of
        the end is the end of the call that is given back."""
        back = recorded(lambda: read_back(content))
        if not content.startswith(head[1:], 1):
            raise self.divergence(host, place, args, back.function, back.args)
        self.position += 1
        self.do_again(back.effects)
        number, index = back.target
        function = self.instances.found(back.target, "functions")
        if [t for t, _ in back.given] != [stated(t) for t in function.type.params]:
            raise damaged("the arguments of a call back are of other types")
        given = [self.instances.held(value) for _, value in back.given]
        try:
            self.instances.made[number].returned(index, given)
        except ReplayError:
            raise
        except (Abrupt, WasiExit, HostError):
            pass

    def do_again(self, effects: Effects) -> None:
        apply(self.instances, effects)
        if self.show is not None:
            for stream, data in effects.outputs:
                self.show(stream, data)

    def divergence(
        self,
        host: HostFunction,
        place: Place,
        args: Sequence[Typed],
        expected: Place,
        had: Sequence[Typed],
    ) -> ReplayError:
        """What the program has done that it did not do when it was recorded."""
        number = self.number() + 1
        if expected == place:
            return ReplayError(
                f"replayed, the program does something else: call {number} of {host.name} has the "
                f"arguments {shown(args)}, and had {shown(had)}"
            )
        name = self.instances.found(expected, "functions").name
        return ReplayError(
            f"replayed, the program does something else: call {number} is of {host.name}, and was "
            f"of {name}"
        )


def missing(*args: object) -> None:
    raise AssertionError("calls of it are given back")


def shown(args: Sequence[Typed]) -> str:
    return "(" + ", ".join(str(value) for _, value in args) + ")"


def recorded(read: Callable[[], Read]) -> Read:
    """What an entry is of, where the program runs already."""
    try:
        return read()
    except RecordError as error:
        raise ReplayError(str(error)) from None


def digest_of(data: bytes) -> bytes:
    """That of a checkpoint file."""
    return data[-32:]
