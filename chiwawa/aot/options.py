"""What a module's translation is asked for, and what holds for all of its functions."""

from __future__ import annotations

import re
from dataclasses import dataclass

from chiwawa.lower.lowered import (
    Spaces,
    recursive_functions,
    suspendable_functions,
    tailing_functions,
)
from chiwawa.module import Module
from chiwawa_runtime.engine.generated import BUILTINS


@dataclass(slots=True)
class Options:
    """``polls`` False leaves the safepoints out: only to measure what they cost.
    ``suspendable`` says of a function index whether it is a generator, ``canonical_nans`` that
    every NaN that arithmetic makes is the canonical one."""

    spaces: Spaces
    suspendable: frozenset[int]
    recursive: frozenset[int]
    names: dict[int, str]
    #: The functions that may end in a tail call.
    tailing: frozenset[int] = frozenset()
    everywhere: bool = False
    canonical_nans: bool = False
    polls: bool = True


def suspendable(spaces: Spaces, everywhere: bool) -> frozenset[int]:
    """The functions that have a safepoint."""
    if not everywhere:
        return suspendable_functions(spaces)
    funcs = enumerate(spaces.module.funcs, spaces.imported_funcs)
    return frozenset(index for index, func in funcs if func.summary.length > 1)


def function_names(module: Module, count: int) -> dict[int, str]:
    """Python names for functions: ``f``, the index, and what each is called, if it can be part of
    one."""
    names = {}
    called = module.func_names()
    for index in range(count):
        known = re.sub(r"\W+", "_", called.get(index, ""), flags=re.ASCII)
        known = known.strip("_")[:60]
        name = f"f{index}_{known}" if known else f"f{index}"
        # Function 32 may well be called "load".
        names[index] = name + "_" if name in BUILTINS else name
    return names


def options_for(
    module: Module,
    *,
    everywhere: bool = False,
    canonical_nans: bool = False,
    polls: bool = True,
) -> Options:
    spaces = Spaces.of(module)
    return Options(
        spaces,
        suspendable(spaces, everywhere),
        recursive_functions(spaces),
        function_names(module, len(spaces.funcs)),
        tailing_functions(spaces),
        everywhere=everywhere,
        canonical_nans=canonical_nans,
        polls=polls,
    )
