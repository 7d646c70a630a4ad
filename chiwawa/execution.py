"""What a path of execution is, and what it is given: the contract between the paths and whoever has
programs run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Protocol

from chiwawa.cache import Cache
from chiwawa.lower.sites import SitesOf
from chiwawa.module import Module
from chiwawa.native_file import NativeFile
from chiwawa.program import program_of
from chiwawa.source import load_bytes
from chiwawa_runtime.engine.contract import Engine
from chiwawa_runtime.engine.translation import Bundle
from chiwawa_runtime.state.program import Program

GRANULARITIES = ("safepoint", "instruction")

#: What can be run: a module, or what a generated file offers, of Python or of rewritten Wasm.
Runnable = Module | Bundle | NativeFile


@dataclass(frozen=True, slots=True)
class Settings:
    """How functions are to be run. ``granularity`` says where they can be stopped, ``safepoint`` or
    ``instruction``; with ``canonical_nans`` every NaN that arithmetic makes is the canonical one.
    Where it is ``sparse``, of granularity ``instruction``, all boundaries are counted, but it is
    enough if they can be stopped, and entered, at the safepoints of the other granularity. Where it
    is ``watched``, safepoints are going to be counted or looked at. Raises ValueError for another
    granularity."""

    granularity: str = "safepoint"
    canonical_nans: bool = False
    sparse: bool = False
    watched: bool = False

    def __post_init__(self) -> None:
        if self.granularity not in GRANULARITIES:
            known = " or ".join(GRANULARITIES)
            raise ValueError(f"granularity is {known}, not {self.granularity!r}")

    @property
    def everywhere(self) -> bool:
        """Whether each boundary is a safepoint."""
        return self.granularity == "instruction"


class Source:
    """A program as it was given, and all that can be made of it. ``translated`` is what a generated
    file has of it, compiled with ``compiled``; ``rewritten`` the file for the native path that it
    came in. ``cache`` is where paths may keep what takes them long; None: the user's."""

    def __init__(self, given: Runnable, cache: Cache | None = None) -> None:
        self.cache = Cache.of_user() if cache is None else cache
        self.translated: Bundle | None = None
        self.rewritten: NativeFile | None = None
        self.compiled = Settings()
        if isinstance(given, Module):
            self.module = given
        elif isinstance(given, NativeFile):
            self.rewritten = given
            self.compiled = Settings(canonical_nans=given.canonical_nans)
        else:
            self.translated = given
            self.compiled = Settings(given.granularity, given.canonical_nans)
            self.program = given.program

    @cached_property
    def program(self) -> Program:
        """Everything about it but code."""
        return program_of(self.module)

    @cached_property
    def module(self) -> Module:
        """What it is, or was compiled from."""
        if self.rewritten is not None:
            return _embedded(self.rewritten.original, self.cache)
        assert self.translated is not None
        return _embedded(self.translated.module, self.cache)


@lru_cache(maxsize=4)
def _embedded(binary: bytes, cache: Cache) -> Module:
    """The module of a generated file."""
    return load_bytes(binary, cache)


@dataclass(frozen=True, slots=True)
class Prepared:
    """An engine for one instance of a program. ``fit`` gives it what instruments want of functions
    and the names that their sites use, and returns what has the engine ask them anew. An engine
    whose functions cannot be looked at has ``hand_over`` instead: it makes another engine run the
    instance, over the same state, where nothing runs or from the next safepoint on. ``arm``, of a
    sparse engine, has some functions, by index, stop where they begin, other than with a loop or a
    call that may reach the host: they call what it is given, which may ask for it."""

    engine: Engine
    fit: Callable[[SitesOf, Mapping[str, Any]], Callable[[], None]] | None
    hand_over: Callable[[Engine], None] | None = None
    arm: Callable[[Collection[int], Callable[[], None]], None] | None = None


class Path(Protocol):
    """A way to run programs."""

    #: What users call it.
    name: str
    #: Whether a run can be taken on from every boundary; otherwise from the safepoints of its
    #: granularity alone.
    enters_anywhere: bool
    #: Of GRANULARITIES, those that it can stop at.
    granularities: tuple[str, ...]
    #: Whether instruments can look at its functions.
    instruments: bool
    #: Whether its programs can hold structures and arrays.
    objects: bool

    def lacks(self) -> str | None:
        """What it takes that is not here, in a line; None where nothing is missing."""

    def refusal(self, source: Source, granularity: str) -> str | None:
        """Why it cannot run ``source`` here with safepoints of ``granularity``, in a line; None
        where it can."""

    def together(self) -> AbstractContextManager[object]:
        """A context: instances that are made in it can have state of each other, in whatever
        order, and one thread at a time runs them."""

    def prepare(
        self, source: Source, settings: Settings, sites_of: SitesOf | None = None
    ) -> Prepared:
        """An engine for one instance of ``source``. ``sites_of`` says what instruments want of its
        functions; None: there are none. Raises UnsupportedError for what the path cannot do."""
