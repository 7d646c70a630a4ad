"""What a module's translation is asked for, and what holds for all of its functions."""

from __future__ import annotations

from dataclasses import dataclass

from chiwawa.lower.lowered import Spaces


@dataclass(slots=True)
class Options:
    """``polls`` False leaves the safepoints out: only to measure what they cost.
    ``suspendable`` says of a function index whether it is a generator, ``canonical_nans`` that
    every NaN that arithmetic makes is the canonical one."""

    spaces: Spaces
    suspendable: frozenset[int]
    recursive: frozenset[int]
    names: dict[int, str]
    everywhere: bool = False
    canonical_nans: bool = False
    polls: bool = True
