"""The debugger's commands: read from a terminal or a script, answered with lines of text."""

from __future__ import annotations

import cmd
import dataclasses
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TextIO

from chiwawa.debug import show
from chiwawa.debug.listing import Code, FunctionListing
from chiwawa.debug.machine import Machine
from chiwawa.debug.session import Session, Stop
from chiwawa.debug.stops import GlobalWatch, LocalWatch, MemoryWatch
from chiwawa.debug.streams import Input, Output
from chiwawa.debug.swift import Swift, stepping_path
from chiwawa.execution import Source
from chiwawa.inspect import called
from chiwawa.instrument import Instruments
from chiwawa.toolchain import Toolchain
from chiwawa_runtime import checkpoint
from chiwawa_runtime.command.options import Options, UsageError
from chiwawa_runtime.command.reporting import single_line
from chiwawa_runtime.errors import BadInput, ChiwawaError
from chiwawa_runtime.names import printable
from chiwawa_runtime.run.call_record import read_beginning
from chiwawa_runtime.run.instance import Instance
from chiwawa_runtime.run.recordings import replay_calls
from chiwawa_runtime.state.types import StorageType, ValType

_SHORT = {
    "b": "break",
    "tb": "tbreak",
    "d": "delete",
    "w": "watch",
    "s": "step",
    "n": "next",
    "fin": "finish",
    "c": "continue",
    "rc": "rcontinue",
    "p": "print",
    "bt": "backtrace",
    "f": "frame",
    "l": "list",
    "disassemble": "list",
    "i": "info",
    "restart": "run",
    "q": "quit",
    "exit": "quit",
    "EOF": "quit",
    "h": "help",
    "?": "help",
}
#: What an empty line does again.
_AGAIN = ("step", "next", "continue", "finish", "back", "rcontinue")
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]{1,16}|[0-9]{1,19}")
_VALUE = re.compile(r"([lsg])([0-9]{1,9})")
#: Instructions that list shows on each side, and from a place on.
_AROUND, _LISTED = 5, 30


def debug(
    source: Source,
    options: Options,
    stdin: str | None,
    preloads: Sequence[tuple[str, Source]] = (),
    linked: Sequence[Source] = (),
) -> int:
    """``chiwawa debug``: read commands from standard input until they end. The program reads
    the file ``stdin``, or the terminal, or nothing. ``preloads`` and ``linked`` are as a
    ``Toolchain`` has them. The exit status is 0."""
    check(options)
    module = source.module
    handle = None
    if stdin is not None:
        handle = os.open(stdin, os.O_RDONLY)
    elif sys.stdin.isatty():
        handle = 0
    try:
        outputs = (Output(1), Output(2))
        # Run again, it must compute the same.
        canonical = True
        if options.replay is not None:
            canonical = read_beginning(replay_calls(options.replay).entries[0])[0].canonical_nans
        options = dataclasses.replace(options, deterministic=canonical, granularity="instruction")
        chosen = options.path or "interp"
        path = stepping_path(chosen)
        runner = Toolchain(
            source,
            partial(Instruments, module),
            canonical_nans=canonical,
            linked=linked,
            preloads=preloads,
        )
        stepped = chosen == path or not canonical or len(runner.linked) > 0
        swift = None if stepped else Swift(source, chosen)
        code = Code(module, names_of(preloads, linked))
        machine = Machine(runner, code, options, path, Input(handle), outputs, swift)
        try:
            prompt = Prompt(Session(machine), sys.stdin, sys.stdout)
            prompt.begin()
            prompt.cmdloop()
        finally:
            machine.close()
    finally:
        if stdin is not None and handle is not None:
            os.close(handle)
    return 0


def names_of(
    preloads: Sequence[tuple[str, Source]], linked: Sequence[Source]
) -> list[tuple[str, bytes]]:
    """What to call instances, with the hash of the module that each is of."""
    named = [(name, each.module.hash) for name, each in preloads]
    called = [(each.module.names.module or "", each.module.hash) for each in linked]
    known = {name for name, _ in named}
    return named + [(name, own) for name, own in called if name and name not in known]


def check(options: Options) -> None:
    """Raises UsageError for options that mean nothing here."""
    given = {
        "--cr": options.trigger,
        "--cr-at": options.stops(),
        "--cr-every": options.every is not None,
        "--cr-keep-running": options.keep_running,
        "--timeout": options.limits.time is not None,
        "--fuel": options.limits.fuel is not None,
        "--granularity safepoint": options.granularity == "safepoint",
    }
    for option, there in given.items():
        if there:
            raise UsageError(f"{option} cannot be given to debug: its prompt says when to stop")
    for option in ("record_calls", "coredump"):
        if getattr(options, option) is not None:
            name = option.replace("_", "-")
            raise UsageError(f"--{name} cannot be given to debug: it is run's")
    if options.instruments.asks():
        raise UsageError("traces and monitors cannot be asked for in debug: they are run's")


class Prompt(cmd.Cmd):
    """Each ``do_`` method is a command; its docstring is what ``help`` says."""

    doc_header = "commands (help COMMAND says more; an empty line does a step or the like again):"

    def __init__(self, session: Session, stdin: TextIO, stdout: TextIO) -> None:
        super().__init__(stdin=stdin, stdout=stdout)
        self.session = session
        self.machine = session.machine
        self.level = 0
        self.use_rawinput = stdin.isatty()
        self.prompt = "(chiwawa) " if self.use_rawinput else ""

    def say(self, *lines: str) -> None:
        self.stdout.writelines(f"{line}\n" for line in lines)
        self.stdout.flush()

    def begin(self) -> None:
        self.show(self.session.begin())
        self.tell_virtual()

    def tell_virtual(self) -> None:
        if self.machine.made_virtual:
            self.say(
                "the clocks and randomness of the checkpoint were the host's: here they are "
                "virtual, so that running again is the same"
            )

    # How commands are read.

    def cmdloop(self, intro: str | None = None) -> None:
        while True:
            try:
                super().cmdloop(intro)
                return
            except KeyboardInterrupt:
                # At the prompt: what was typed is dropped.
                self.say("")

    def onecmd(self, line: str) -> bool:
        name, argument, line = self.parseline(line)
        if not line:
            return self.emptyline()
        name = line.split()[0] if name is None else name
        if line.startswith("?"):
            name, argument = "help", line[1:]
        name = _SHORT.get(name, name)
        if name != "help":
            self.lastcmd = line
        act: Callable[[str], bool | None] | None = getattr(self, f"do_{name}", None)
        if act is None:
            self.say(single_line(f"error: there is no command {name!r}: help lists them"))
            return False
        try:
            return bool(act((argument or "").strip()))
        except ChiwawaError as error:
            self.say(single_line(f"error: {error}"))
        except OSError as error:
            reason = error.strerror or str(error)
            where = "" if error.filename is None else f"{error.filename}: "
            self.say(single_line(f"error: {where}{reason}"))
        except KeyboardInterrupt:
            self.machine.torn(self.machine.first)
            self.say("interrupted", show.here_line(self.machine))
        return False

    def emptyline(self) -> bool:
        name = (self.lastcmd.split() or [""])[0]
        return self.onecmd(self.lastcmd) if _SHORT.get(name, name) in _AGAIN else False

    def completenames(self, text: str, *ignored: object) -> list[str]:
        return [name[3:] for name in self.get_names() if name.startswith(f"do_{text}")]

    def complete_break(self, text: str, *ignored: object) -> list[str]:
        names = (name for name in self.session.code.names() if " " not in name)
        return [printable(name) for name in names if name.startswith(text)]

    complete_tbreak = complete_list = complete_break

    def show(self, stop: Stop) -> None:
        self.level = 0
        self.say(*show.stop_lines(self.session, stop))

    # Stops.

    def do_break(self, argument: str) -> None:
        """break FUNC | FUNC+OFFSET | INDEX[+OFFSET]: stop there. Without anything: list.
        A function's breakpoint is at its first instruction; an offset is one of list's."""
        if not argument:
            self.say(*(list(show.stops_lines(self.session)) or ["there are no breakpoints"]))
            return
        self.add_breakpoint(argument, False)

    def do_tbreak(self, argument: str) -> None:
        """tbreak PLACE: like break, for one stop."""
        self.add_breakpoint(argument, True)

    def add_breakpoint(self, argument: str, temporary: bool) -> None:
        if not argument:
            raise BadInput("say where: a function, or FUNCTION+OFFSET")
        made = self.session.add_breakpoint(self.session.code.place(argument), temporary)
        self.say(f"breakpoint {made.number}: {show.place_text(self.session.code, made.place)}")

    def do_watch(self, argument: str) -> None:
        """watch ADDRESS [LENGTH [MEMORY]] | gN | lN | $NAME: stop after a change of that memory
        (4 bytes if nothing is said), global, or local of the frame. In memory and globals, changes
        are seen whoever makes them."""
        if not argument:
            raise BadInput("say what: an address, a global (g0) or a local (l0)")
        number = next(self.session.numbers)
        watch: MemoryWatch | GlobalWatch | LocalWatch
        if _VALUE.fullmatch(argument) or argument.startswith("$"):
            watch = self.value_watch(number, argument)
        else:
            address, length, memory = self.span(argument, 4)
            of = self.of
            prefix = show.prefix(self.machine, of)
            watch = MemoryWatch(number, of, prefix, memory, address, length)
        self.session.add_watch(watch)
        self.say(f"watch {number}: {watch.name}")

    def value_watch(self, number: int, argument: str) -> GlobalWatch | LocalWatch:
        kind, index = self.which(argument)
        of, listing = self.of, self.listing
        module = listing.module
        if kind == "g":
            name = called(module.names.globals.get(index), f"g{index}")
            name = show.prefix(self.machine, of) + name
            valtype = self.instance.globals[index].type.type
            return GlobalWatch(number, of, index, name, self.texts(valtype))
        if kind == "s":
            raise BadInput("an operand cannot be watched: it is gone with the next instruction")
        frames = self.machine.frames()
        function = frames[self.level].function
        depth = len(frames) - 1 - self.level
        local = called(module.names.locals.get(function, {}).get(index), f"l{index}")
        types, _ = show.frame_types(self.machine, frames[self.level], self.level)
        setters = frozenset(listing.setters(function, index))
        name = f"{local} of {listing.label(function)}"
        place = (function, index, depth)
        return LocalWatch(number, of, place, name, self.texts(types[index]), types[index], setters)

    def texts(self, valtype: ValType) -> Callable[[object], str]:
        return lambda value: show.value_text(self.machine, valtype, value)

    def do_delete(self, argument: str) -> None:
        """delete N: remove a breakpoint or watch."""
        self.session.delete(number(argument))

    # Time.

    def do_step(self, argument: str) -> None:
        """step [N]: past one instruction, or N, also into what it calls."""
        self.show(self.session.step(positive(argument)))

    def do_next(self, argument: str) -> None:
        """next: past one instruction, and all that it calls."""
        nothing(argument)
        self.show(self.session.next())

    def do_finish(self, argument: str) -> None:
        """finish: until the frame has returned."""
        nothing(argument)
        self.show(self.session.finish(self.level))

    def do_continue(self, argument: str) -> None:
        """continue: on, to the next stop. Ctrl-C stops the program wherever it is."""
        nothing(argument)
        self.show(self.session.proceed())

    def do_back(self, argument: str) -> None:
        """back [N]: one instruction back in time, or N."""
        self.show(self.session.back(positive(argument)))

    def do_rcontinue(self, argument: str) -> None:
        """rcontinue: back, to the breakpoint or the change of watched memory or globals that came
        last."""
        nothing(argument)
        self.show(self.session.reverse())

    def do_goto(self, argument: str) -> None:
        """goto N: to the N-th boundary since the start: the number that each stop begins with."""
        self.show(self.session.go_to(number(argument)))

    def do_run(self, argument: str) -> None:
        """run: start again. Breakpoints stay, and what was read is read again."""
        nothing(argument)
        self.show(self.session.begin())
        self.tell_virtual()

    def do_checkpoint(self, argument: str) -> None:
        """checkpoint FILE: write a checkpoint of the program as it is."""
        if not argument:
            raise BadInput("say which file to write")
        show.frame_at(self.machine, 0)
        checkpoint.write_file(argument, self.machine.checkpoint())
        self.say(f"checkpoint written to {printable(argument)}")

    def do_restore(self, argument: str) -> None:
        """restore FILE: go on from a checkpoint of this program instead."""
        if not argument:
            raise BadInput("say which file to read")
        self.show(self.session.load(checkpoint.decode(checkpoint.read_file(argument))))
        self.tell_virtual()

    # Looking.

    def do_print(self, argument: str) -> None:
        """print [stack | locals | globals | memory | VALUE [FIELD...]]: values. VALUE is sN, lN, gN
        or $NAME: s0 is the deepest operand; a name is that of a local, else of a global. Of a
        structure, array or exception, what is in it: FIELD is the number or $NAME of a field, or
        the number of an element, and one more looks into what that refers to. Without anything:
        stack and locals."""
        machine = self.machine
        views: dict[str, Callable[[], Iterable[str]]] = {
            "": lambda: [
                show.stack_line(machine, self.level),
                show.locals_line(machine, self.level),
            ],
            "stack": lambda: [show.stack_line(machine, self.level)],
            "locals": lambda: [show.locals_line(machine, self.level)],
            "globals": lambda: show.global_lines(machine, self.of),
            "memory": lambda: show.memory_lines(machine, self.of),
        }
        if argument in views:
            self.say(*views[argument]())
        else:
            words = argument.split(" ")
            # A name may have spaces.
            count = next((n for n in range(len(words), 1, -1) if self.is_there(words[:n])), 1)
            storage: StorageType
            storage, value = self.value(" ".join(words[:count]))
            for place in filter(None, words[count:]):
                storage, value = show.inside(machine, self.of, value, place)
            self.say(*show.value_lines(machine, self.of, storage, value))

    def do_x(self, argument: str) -> None:
        """x ADDRESS [LENGTH [MEMORY]]: bytes of a memory, 64 if nothing is said. The address may be
        a value, such as l0 or $p."""
        address, length, memory = self.span(argument, 64)
        self.say(*show.dump_lines(self.instance.memories[memory], address, length))

    def do_backtrace(self, argument: str) -> None:
        """backtrace: the frames, the youngest first."""
        nothing(argument)
        self.say(*show.backtrace_lines(self.machine, self.level))

    def do_frame(self, argument: str) -> None:
        """frame N: look at another frame, the youngest being 0: its locals and operands, and what
        finish finishes."""
        level = number(argument, 0)
        frame = show.frame_at(self.machine, level)
        self.level = level
        self.say(show.frame_line(self.machine, frame, level, level))

    def do_list(self, argument: str) -> None:
        """list [PLACE]: the instructions around where the frame is, or from a place on. -> is the
        next one, * is a breakpoint."""
        if argument:
            place, before, after = self.session.code.place(argument), 0, _LISTED
        else:
            frame = show.frame_at(self.machine, self.level)
            place = self.machine.instances.place_of(frame)
            before, after = _AROUND, _AROUND
        here = None if argument else place
        self.say(*show.code_lines(self.session, place, before, after, here))

    def do_info(self, argument: str) -> None:
        """info: where the program is, and what there is."""
        nothing(argument)
        self.say(*show.info_lines(self.session))

    def do_quit(self, argument: str) -> bool:
        """quit: leave. So does the end of the input."""
        if self.use_rawinput and self.lastcmd == "EOF":
            self.say("")
        return True

    def do_help(self, argument: str) -> None:
        """help [COMMAND]: what there is, and what a command does."""
        if not argument:
            names = sorted(name[3:] for name in self.get_names() if name.startswith("do_"))
            short = {long: s for s, long in reversed(_SHORT.items()) if s.isalpha() and s != "EOF"}
            for name in names:
                doc = " ".join((getattr(self, f"do_{name}").__doc__ or "").split())
                also = f" ({short[name]})" if name in short else ""
                self.say(f"{name + also:<16} {doc.partition(': ')[0]}")
            self.say("An empty line does a step and the like again. help COMMAND says more.")
            return
        name = _SHORT.get(argument, argument)
        act = getattr(self, f"do_{name}", None)
        if act is None:
            raise BadInput(f"there is no command {argument!r}")
        self.say(" ".join((act.__doc__ or "").split()))

    # What commands name.

    @property
    def of(self) -> int:
        """The number of the instance that the selected frame is of: whose names, memories and
        globals are meant. That of the run where there is no frame."""
        frames = self.machine.frames()
        if not frames:
            return 0
        frame = frames[min(self.level, len(frames) - 1)]
        return self.machine.instances.place_of(frame).instance

    @property
    def instance(self) -> Instance:
        return self.machine.instances.by_number[self.of]

    @property
    def listing(self) -> FunctionListing:
        return self.session.code[self.of]

    def which(self, text: str) -> tuple[str, int]:
        """``l``, ``s`` or ``g`` and an index that is there. Raises BadInput."""
        names = self.listing.module.names
        found = _VALUE.fullmatch(text)
        if found is None:
            name = text.removeprefix("$")
            frames = self.machine.frames()
            if frames:
                function = show.frame_at(self.machine, self.level).function
                for index, local in names.locals.get(function, {}).items():
                    if local == name:
                        return "l", index
            for index, glob in names.globals.items():
                if glob == name:
                    return "g", index
            raise BadInput(f"there is no local or global {text} here")
        kind, index = found[1], int(found[2])
        if kind == "g":
            count = len(self.instance.globals)
        else:
            frame = show.frame_at(self.machine, self.level)
            count = len(frame.locals if kind == "l" else frame.stack)
        if index >= count:
            raise BadInput(f"there is no {text}")
        return kind, index

    def is_there(self, words: list[str]) -> bool:
        """Whether the words name a value."""
        try:
            self.which(" ".join(words))
        except BadInput:
            return False
        return True

    def value(self, text: str) -> tuple[ValType, object]:
        """What ``l0``, ``s0``, ``g0`` or ``$name`` is. Raises BadInput."""
        kind, index = self.which(text)
        if kind == "g":
            glob = self.instance.globals[index]
            return glob.type.type, glob.value
        frame = show.frame_at(self.machine, self.level)
        locals_, stack = show.frame_types(self.machine, frame, self.level)
        if kind == "l":
            return locals_[index], frame.locals[index]
        return stack[index], frame.stack[index]

    def span(self, argument: str, length: int) -> tuple[int, int, int]:
        """ADDRESS [LENGTH [MEMORY]], all within the memory. Raises BadInput."""
        words = argument.split()
        if not 1 <= len(words) <= 3:
            raise BadInput("say ADDRESS [LENGTH [MEMORY]]")
        address = self.address(words[0])
        if len(words) > 1:
            length = number(words[1])
        memory = number(words[2]) if len(words) > 2 else 0
        memories = self.instance.memories
        if memory >= len(memories):
            raise BadInput(f"there is no memory {memory}")
        size = memories[memory].byte_length()
        if length < 1 or address >= size or (len(words) > 1 and address + length > size):
            raise BadInput(f"that is not within the memory's {size} bytes")
        return address, min(length, size - address), memory

    def address(self, text: str) -> int:
        if _NUMBER.fullmatch(text):
            return int(text, 0) if text[:2].lower() == "0x" else int(text)
        _, value = self.value(text)
        if not isinstance(value, int):
            raise BadInput(f"{text} is no address")
        return int(value)


def number(text: str, otherwise: int | None = None) -> int:
    """A number, decimal or hexadecimal. Raises BadInput."""
    if not text and otherwise is not None:
        return otherwise
    if not _NUMBER.fullmatch(text):
        raise BadInput("a number is wanted" + (f", not {text!r}" if text else ""))
    return int(text, 0) if text[:2].lower() == "0x" else int(text)


def positive(text: str) -> int:
    """A number from 1 on; 1 where none is given. Raises BadInput."""
    found = number(text, 1)
    if found < 1:
        raise BadInput("a number from 1 on is wanted")
    return found


def nothing(argument: str) -> None:
    if argument:
        raise BadInput(f"it takes nothing, not {argument!r}")
