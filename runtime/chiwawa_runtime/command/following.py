"""A run until its end: checkpoints written as they are asked for, and its results shown."""

from __future__ import annotations

from collections.abc import Callable

from chiwawa_runtime import checkpoint
from chiwawa_runtime.command.options import Options
from chiwawa_runtime.command.reporting import OUT_OF_LIMITS, say
from chiwawa_runtime.engine.requests import BY_FUEL, BY_TIME
from chiwawa_runtime.errors import Abrupt, CheckpointError, Terminated, WasiExit
from chiwawa_runtime.run.instance import Run
from chiwawa_runtime.run.triggers import BY_INTERRUPT, BY_TIMER, ENDINGS, Watcher
from chiwawa_runtime.state.snapshot import FuncIdx
from chiwawa_runtime.state.store import Function
from chiwawa_runtime.state.values import format_value

#: What is said where the run has spent what it may, by the reason with which it stops.
SPENT: dict[str, Callable[[Run, Options], str]] = {
    BY_FUEL: lambda run, options: f"out of fuel, at safepoint {run.requests.passed}",
    BY_TIME: lambda run, options: f"out of time, after {options.limits.time:g} seconds",
}


def follow(run: Run, options: Options, watcher: Watcher) -> int:
    """Run on, meeting requests as they come. Raises Terminated where a signal was one."""
    written = False
    try:
        while not run.go():
            reasons = run.requests.take()
            ending = next((ENDINGS[reason] for reason in reasons if reason in ENDINGS), None)
            if BY_INTERRUPT in reasons and ending is None:
                raise KeyboardInterrupt
            if not reasons:
                continue
            limit = next((reason for reason in SPENT if reason in reasons), None)
            if limit is not None and ending is None:
                say(f"stopped: {SPENT[limit](run, options)}")
                if options.saves():
                    write_checkpoint(run, options, False)
                return OUT_OF_LIMITS
            if write_checkpoint(run, options, ending is None):
                written = True
                if ending is None and not options.keep_running and set(reasons) != {BY_TIMER}:
                    say_unsaved(options, "the call has not returned")
                    return 0
                watcher.restart_clock()
            if ending is not None:
                raise Terminated(ending)
    except (Abrupt, WasiExit) as error:
        say_unmet(run, options, written)
        say_unsaved(
            options,
            "the program has exited" if isinstance(error, WasiExit) else "the call has failed",
        )
        raise
    show_results(run)
    say_unmet(run, options, written)
    if options.save is not None:
        checkpoint.save(options.save, run.instance.snapshot())
    return 0


def write_checkpoint(run: Run, options: Options, goes_on: bool) -> bool:
    """Write one, and say it; whether that was possible."""
    try:
        if run.calls is None:
            checkpoint.save(options.file, run.snapshot())
        else:
            checkpoint.write_file(options.file, run.checkpoint())
    except CheckpointError as error:
        # Rather a program that goes on than one that is lost.
        say(f"no checkpoint written{', the program goes on' if goes_on else ''}: {error}")
        return False
    say(f"checkpoint written to {options.file}")
    return True


def say_unmet(run: Run, options: Options, written: bool) -> None:
    """Say that the program has ended first, where a checkpoint was to stop it."""
    if written or not (options.trigger or options.stops()):
        return
    passed = run.requests.passed
    after = "" if options.at is None or passed is None else f" after {passed} safepoints"
    say(f"the program has ended{after}: no checkpoint was made")


def say_unsaved(options: Options, why: str) -> None:
    """Say that there is no state that a call has left, where it was to be saved."""
    if options.save is not None:
        say(f"nothing saved to {options.save}: {why}")


def show_results(run: Run) -> None:
    if run.results:
        print(results_text(run))


def results_text(run: Run) -> str:
    """What the last call returned, as values separated by commas."""
    if run.function is None:
        return ""
    functions = {id(f): FuncIdx(i) for i, f in enumerate(run.instance.functions)}
    shown = []
    for valtype, result in zip(run.function.type.results, run.results, strict=True):
        value = functions.get(id(result), result) if isinstance(result, Function) else result
        shown.append(format_value(valtype, value))
    return ",".join(shown)
