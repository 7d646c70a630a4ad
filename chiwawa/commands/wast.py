"""Runs scripts of the spec's test suite on one execution path, and says what failed.

A command fails alone: whatever goes wrong in it is written down, and the script goes on. After a
module that could not be made there is no current instance, so its assertions fail too, rather than
pass or fail by another module.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from chiwawa import paths
from chiwawa.api import instantiate
from chiwawa.commands.patterns import HostRef, describe_pattern, describe_value, matches
from chiwawa.commands.torture import Move, Stops, Torture, tour
from chiwawa.module import Module
from chiwawa.source import load, prepare
from chiwawa.wat.script import (
    Action,
    Arg,
    AssertException,
    AssertRefused,
    AssertReturn,
    AssertTrap,
    Command,
    DefineModule,
    Get,
    Invoke,
    MakeInstance,
    ModuleSource,
    Perform,
    RefNull,
    Register,
    Unread,
    parse_script,
)
from chiwawa_runtime.command.reporting import single_line
from chiwawa_runtime.engine.instance import Importable
from chiwawa_runtime.errors import (
    BadInput,
    ChiwawaError,
    Exhaustion,
    InvalidError,
    MalformedError,
    Trap,
    UnlinkableError,
)
from chiwawa_runtime.run.instance import Instance, Run
from chiwawa_runtime.state.heap import Internal
from chiwawa_runtime.state.host_limits import UNLIMITED, Limits
from chiwawa_runtime.state.interface import AnyGlobal
from chiwawa_runtime.state.numerics import (
    f32_from_bits,
    f64_from_bits,
)
from chiwawa_runtime.state.store import HostFunction
from chiwawa_runtime.state.throwing import Thrown
from chiwawa_runtime.state.types import (
    F32,
    F64,
    I32,
    I64,
    FuncType,
    NumType,
)

#: The paths that a script is moved over under torture, beside the one that it begins on.
TORTURED = ("interp", "aot")


@dataclass(frozen=True, slots=True)
class Failure:
    """A command that did not do what its script says."""

    line: int
    command: str
    expected: str
    got: str
    #: Under torture, how all was moved last.
    moved: Move | None = None


@dataclass(frozen=True, slots=True)
class Culprit:
    """The move after which a script begins to fail; ``alone``: also if nothing moves before."""

    move: Move
    alone: bool


@dataclass(slots=True)
class Report:
    """What a script did on one path. ``passed`` counts assertions; ``failures`` has every command
    that failed, assertions and others. ``wordings`` has the assertions that passed because a module
    was refused as malformed or invalid as it should be, but in other words than the suite's."""

    file: str
    execution: str
    passed: int = 0
    failures: list[Failure] = field(default_factory=list)
    wordings: list[Failure] = field(default_factory=list)
    #: Under torture, how many boundaries were passed, and at how many of them all was moved; and
    #: the move that makes something fail, if it was looked for.
    boundaries: int | None = None
    stops: int | None = None
    culprit: Culprit | None = None

    @property
    def failed(self) -> int:
        return len(self.failures)


def run_script(
    path: str | os.PathLike[str],
    execution: str,
    torture: Stops | None = None,
    onto: str | None = None,
    limits: Limits = UNLIMITED,
) -> Report:
    """Run the script in a file, each of its instances within ``limits``. With ``torture``, all
    instances are written, thrown away and restored on another path at those boundaries, on ``onto``
    if that is given. Raises OSError, and MalformedError where the file is no script."""
    try:
        text = Path(path).read_bytes().decode()
    except UnicodeDecodeError as error:
        raise MalformedError("malformed UTF-8 encoding", offset=error.start) from None
    return run_commands(parse_script(text), os.fspath(path), execution, torture, onto, limits)


def run_commands(
    commands: Sequence[Command],
    name: str,
    execution: str,
    torture: Stops | None = None,
    onto: str | None = None,
    limits: Limits = UNLIMITED,
) -> Report:
    """Run the commands of one script, in a store of their own."""
    if torture is not None:
        others = [onto] if onto else [each for each in TORTURED if each != execution]
        given = Torture(torture, tour(execution, others), limits)
        given.begin_store()
        with given.store:
            return _run_commands(commands, name, _Run(execution, limits, given))
    with paths.path(execution).together():
        return _run_commands(commands, name, _Run(execution, limits))


def _run_commands(commands: Sequence[Command], name: str, run: _Run) -> Report:
    report = Report(name, run.execution)
    run.register_spectest()
    for command in commands:
        try:
            wording = _run_command(run, command)
        except _Unmet as unmet:
            moved = None if run.torture is None else run.torture.last
            failure = Failure(command.line, describe(command), unmet.expected, unmet.got, moved)
            report.failures.append(failure)
            continue
        if isinstance(command, AssertReturn | AssertTrap | AssertException | AssertRefused):
            report.passed += 1
        if wording is not None:
            failure = Failure(command.line, describe(command), wording.expected, wording.got)
            report.wordings.append(failure)
    if run.torture is not None:
        report.boundaries, report.stops = run.torture.boundaries, run.torture.stops
    return report


def format_report(report: Report, *, wordings: bool = False) -> str:
    """A line of totals, then one for each failure; with ``wordings`` also for each refusal in
    other words. It ends in no newline."""
    moves = (
        ""
        if report.boundaries is None
        else f", moved at {report.stops} of {report.boundaries} boundaries"
    )
    totals = f"{report.passed} passed, {report.failed} failed{moves}"
    lines = [
        f"{report.file} ({report.execution}): {totals}",
        *(f"  {_format_failure(report.file, failure)}" for failure in report.failures),
    ]
    if report.culprit is not None:
        lines.append(f"  {_format_culprit(report.culprit)}")
    if wordings:
        lines.extend(f"  wording: {_format_failure(report.file, w)}" for w in report.wordings)
    return "\n".join(map(single_line, lines))


def _format_failure(file: str, failure: Failure) -> str:
    head = f"{Path(file).name}:{failure.line}: {failure.command}"
    moved = "" if failure.moved is None else f" (after {failure.moved})"
    return f"{head}: expected {failure.expected}, got {failure.got}{moved}"


def _format_culprit(culprit: Culprit) -> str:
    move = culprit.move
    option = f"--path {move.before} --torture-at {move.boundary}:{move.after}"
    shown = f"{option} shows it" if culprit.alone else f"{option} alone does not show it"
    return f"it begins to fail with {move}: {shown}"


class _Unmet(Exception):
    """An expectation that was not met."""

    def __init__(self, expected: str, got: str) -> None:
        super().__init__(expected, got)
        self.expected = expected
        self.got = got


@dataclass(slots=True)
class _Run:
    """The store of a script. ``current`` is the last instance, None where making it failed."""

    execution: str
    limits: Limits
    torture: Torture | None = None
    registered: dict[str, Instance] = field(default_factory=dict)
    current: Instance | None = None
    instances: dict[str, Instance] = field(default_factory=dict)
    definition: Module | None = None
    definitions: dict[str, Module] = field(default_factory=dict)
    #: What ``ref.extern N`` stands for, by N.
    references: dict[int, HostRef] = field(default_factory=dict)

    def register_spectest(self) -> None:
        self.registered["spectest"] = self.instantiate(_spectest())

    @property
    def imports(self) -> dict[str, Mapping[str, Importable]]:
        """What modules may import."""
        found = {alias: instance.exports for alias, instance in self.registered.items()}
        return {**found, "spectest": {**_prints(), **found.get("spectest", {})}}

    def instantiate(self, module: Module) -> Instance:
        """A new instance. Raises what ``chiwawa.instantiate`` does."""
        if self.torture is None:
            return instantiate(module, self.imports, path=self.execution, limits=self.limits)
        return self.go(self.torture.start(module, self.imports, self.carry())).instance

    def invoke(self, instance: Instance, name: str, args: Sequence[object]) -> Sequence[object]:
        """What ``Instance.invoke`` gives."""
        if self.torture is None:
            return instance.invoke(name, args)
        instance.carry = self.carry()
        run = Run(instance, [instance.prepared(name, args)])
        return self.go(run).results

    def carry(self) -> dict[str, object]:
        return {str(number): reference for number, reference in self.references.items()}

    def go(self, run: Run) -> Run:
        """Have ``run`` go on to its end under torture; the run that has come there."""
        assert self.torture is not None
        held = [*self.registered.values(), *self.instances.values()]
        if self.current is not None:
            held.append(self.current)
        return self.torture.go(run, held, {"spectest": _prints()}, self.move)

    def move(self, new: Mapping[int, Instance]) -> None:
        """Have other instances stand for those that there were."""
        for named in (self.registered, self.instances):
            named.update({name: new[id(instance)] for name, instance in named.items()})
        if self.current is not None:
            self.current = new[id(self.current)]


def _run_command(run: _Run, command: Command) -> _Unmet | None:
    """Raises _Unmet where the command fails; returns one where only the words differ."""
    match command:
        case DefineModule():
            _define(run, command)
        case MakeInstance():
            _make_instance(run, command)
        case Register():
            instance = _instance(run, command.instance)
            run.registered[command.alias] = instance
        case Perform():
            _outcome(run, command.action)
        case AssertReturn():
            _assert_return(run, command)
        case AssertTrap():
            _assert_trap(run, command)
        case AssertException():
            _assert_exception(run, command)
        case AssertRefused():
            return _assert_refused(run, command)
        case Unread():
            raise _Unmet("a command", _describe_error(command.error))
    return None


def _define(run: _Run, command: DefineModule) -> None:
    if not command.definition:
        run.current = None
    try:
        module = prepare(command.source.parse())
        run.definition = module
        if command.name is not None:
            run.definitions[command.name] = module
        if not command.definition:
            _instantiate(run, module, command.name)
    except Exception as error:
        raise _Unmet("a module", _describe_error(error)) from error


def _make_instance(run: _Run, command: MakeInstance) -> None:
    run.current = None
    name = command.definition
    module = run.definition if name is None else run.definitions.get(name)
    if module is None:
        raise _Unmet("a module", "no such definition")
    try:
        _instantiate(run, module, command.name)
    except Exception as error:
        raise _Unmet("an instance", _describe_error(error)) from error


def _instantiate(run: _Run, module: Module, name: str | None) -> None:
    run.current = run.instantiate(module)
    if name is not None:
        run.instances[name] = run.current


def _instance(run: _Run, name: str | None) -> Instance:
    instance = run.current if name is None else run.instances.get(name)
    if instance is None:
        raise _Unmet("an instance", "none: its module failed")
    return instance


def _perform(run: _Run, action: Action) -> Sequence[object]:
    """What the action gives. Raises whatever the program raises."""
    instance = _instance(run, action.instance)
    exported = instance.exports.get(action.export)
    if exported is None:
        raise _Unmet(f'an export "{action.export}"', "none")
    if isinstance(action, Get):
        if not isinstance(exported, AnyGlobal):
            raise _Unmet(f'a global "{action.export}"', type(exported).__name__)
        return (exported.value,)
    return run.invoke(instance, action.export, [_argument(run, arg) for arg in action.args])


def _outcome(run: _Run, action: Action) -> Sequence[object]:
    """What the action gives, where it must give something."""
    try:
        return _perform(run, action)
    except _Unmet:
        raise
    except Exception as error:
        raise _Unmet("results", _describe_error(error)) from error


def _argument(run: _Run, arg: Arg) -> object:
    if isinstance(arg, RefNull):
        return None
    value = arg.value
    if value is None or arg.type == "func":
        raise _Unmet("a value", f"the pattern ref.{arg.type}")
    if arg.type == "f32":
        return f32_from_bits(value)
    if arg.type == "f64":
        return f64_from_bits(value)
    if arg.type == "v128":
        return value.to_bytes(16, "little")
    if arg.type == "host":
        return Internal(run.references.setdefault(value, HostRef(value)))
    return run.references.setdefault(value, HostRef(value)) if arg.type == "extern" else value


def _assert_return(run: _Run, command: AssertReturn) -> None:
    got = _outcome(run, command.action)
    wanted = command.results
    if len(got) != len(wanted) or not all(map(matches, wanted, got)):
        raise _Unmet(
            " ".join(map(describe_pattern, wanted)) or "no results",
            " ".join(map(describe_value, wanted or [None] * len(got), got)) or "no results",
        )


def _assert_trap(run: _Run, command: AssertTrap) -> None:
    what = command.what
    wanted = Exhaustion if command.word == "assert_exhaustion" else Trap
    try:
        if isinstance(what, ModuleSource):
            run.instantiate(prepare(what.parse()))
            got = "an instance"
        else:
            values = _perform(run, what)
            got = " ".join(map(repr, values)) or "no results"
    except wanted as trap:
        # The suite sometimes says more than a message's core ("uninitialized element 2").
        if not (
            trap.message.startswith(command.message) or command.message.startswith(trap.message)
        ):
            raise _Unmet(f"trap: {command.message}", f"trap: {trap.message}") from trap
        return
    except _Unmet:
        raise
    except Exception as error:
        got = _describe_error(error)
    raise _Unmet(f"trap: {command.message}", got)


def _assert_exception(run: _Run, command: AssertException) -> None:
    try:
        got = " ".join(map(repr, _perform(run, command.action))) or "no results"
    except Thrown:
        return
    except _Unmet:
        raise
    except Exception as error:
        got = _describe_error(error)
    raise _Unmet("an exception", got)


_REFUSALS: dict[str, type[BadInput]] = {
    "assert_malformed": MalformedError,
    "assert_invalid": InvalidError,
    "assert_unlinkable": UnlinkableError,
    "assert_malformed_custom": MalformedError,
    "assert_invalid_custom": InvalidError,
}


def _assert_refused(run: _Run, command: AssertRefused) -> _Unmet | None:
    wanted = _REFUSALS[command.word]
    expected = f"{wanted.__name__}: {command.message}"
    try:
        module = prepare(command.source.parse())
        if wanted is UnlinkableError:
            run.instantiate(module)
        got = "no error"
    except wanted as error:
        if error.message.startswith(command.message):
            return None
        unmet = _Unmet(expected, f"{wanted.__name__}: {error.message}")
        if wanted is UnlinkableError:
            # An import that is unknown and one that is incompatible are not refused alike.
            raise unmet from error
        return unmet
    except Exception as error:
        got = _describe_error(error)
    raise _Unmet(expected, got)


def _describe_error(error: Exception) -> str:
    """An error of ours by its first line, any other as the bug that it is."""
    text = str(error).partition("\n")[0]
    if isinstance(error, ChiwawaError):
        return f"{type(error).__name__}: {text}"
    return f"internal error: {type(error).__name__}: {text}"


def describe(command: Command) -> str:
    """A command in a few words."""
    match command:
        case DefineModule():
            return f"module ${command.name}" if command.name else "module"
        case MakeInstance():
            return f"module instance ${command.name}" if command.name else "module instance"
        case Register():
            return f'register "{command.alias}"'
        case Perform():
            return _describe_action(command.action)
        case AssertReturn():
            return f"assert_return {_describe_action(command.action)}"
        case AssertTrap():
            what = command.what
            inner = "module" if isinstance(what, ModuleSource) else _describe_action(what)
            return f"{command.word} {inner}"
        case AssertException():
            return f"assert_exception {_describe_action(command.action)}"
        case AssertRefused():
            return f"{command.word} ({command.source.form})"
        case Unread():
            return command.word or "?"


def _describe_action(action: Action) -> str:
    head = "get" if isinstance(action, Get) else "invoke"
    where = f"${action.instance} " if action.instance else ""
    args = action.args if isinstance(action, Invoke) else ()
    return f'({head} {where}"{action.export}"{"".join(f" {describe_pattern(a)}" for a in args)})'


@lru_cache(maxsize=1)
def _prints() -> Mapping[str, HostFunction]:
    """The functions of the host module that scripts import, as the reference interpreter has
    it."""
    prints: dict[str, tuple[NumType, ...]] = {
        "print": (),
        "print_i32": (I32,),
        "print_i64": (I64,),
        "print_f32": (F32,),
        "print_f64": (F64,),
        "print_i32_f32": (I32, F32),
        "print_f64_f64": (F64, F64),
    }
    return {
        name: HostFunction(FuncType(params, ()), lambda *args: None, name)
        for name, params in prints.items()
    }


@lru_cache(maxsize=1)
def _spectest() -> Module:
    """What has state of it."""
    return load(_SPECTEST)


_SPECTEST = """(module
  (global (export "global_i32") i32 (i32.const 666))
  (global (export "global_i64") i64 (i64.const 666))
  (global (export "global_f32") f32 (f32.const 666.6))
  (global (export "global_f64") f64 (f64.const 666.6))
  (table (export "table") 10 20 funcref)
  (table (export "table64") i64 10 20 funcref)
  (memory (export "memory") 1 2))"""
