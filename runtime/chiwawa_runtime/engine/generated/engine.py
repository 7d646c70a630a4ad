"""The engine that runs generated code (see ``contract``)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from chiwawa_runtime.engine.contract import SEVERAL_ENGINES, RawFrame
from chiwawa_runtime.engine.generated.activation import GeneratedActivation
from chiwawa_runtime.engine.generated.frames import ENGINE, make_segments
from chiwawa_runtime.engine.generated.functions import GeneratedFunctions
from chiwawa_runtime.engine.instance import ModuleInstance
from chiwawa_runtime.engine.polling import Polling
from chiwawa_runtime.engine.segments import MAX_DEPTH, Segments
from chiwawa_runtime.engine.translation import Bundle
from chiwawa_runtime.errors import CheckpointError
from chiwawa_runtime.state.interface import StateOwner
from chiwawa_runtime.state.program import SuspensionPoints
from chiwawa_runtime.state.python_state import PythonState
from chiwawa_runtime.state.types import ValType


class GeneratedEngine:
    """Runs one instance of a bundle."""

    sets_enter = True
    parallel = False

    def __init__(self, bundle: Bundle, names: Mapping[str, Any] | None = None) -> None:
        """``names`` are what the sites of instruments name (see ``chiwawa.lower.sites``)."""
        self.functions = GeneratedFunctions(bundle, {**(names or {}), ENGINE: self})
        self.safepoints = Polling(self.namespace)
        self.granularity = bundle.granularity
        self.canonical_nans = bundle.canonical_nans
        self.generation = 0
        self.state: StateOwner = PythonState()
        self.instance: ModuleInstance

    @property
    def bundle(self) -> Bundle:
        return self.functions.bundle

    @property
    def namespace(self) -> dict[str, Any]:
        """Where the functions find everything by name."""
        return self.functions.namespace

    def attach(self, instance: ModuleInstance) -> None:
        self.instance = instance
        self.functions.attach(instance)

    def replace_code(self, bundle: Bundle) -> None:
        """Go on with the functions of another translation of the same program, of the same
        granularity and with the same NaNs. Frames of the present one stay what they are until they
        are restored."""
        self.generation += 1
        self.functions.take(bundle)

    def suspension_points(self, function: int) -> SuspensionPoints:
        return self.functions.code(function).points

    def boundary(self, function: int, offset: int) -> tuple[ValType, ...] | None:
        return self.suspension_points(function).operands(offset)

    def unset(self, function: int, offset: int) -> Collection[int]:
        return self.suspension_points(function).unset.get(offset, ())

    def start(
        self, function: int, args: Sequence[Any], depth: int, most: int = MAX_DEPTH
    ) -> GeneratedActivation:
        segments = Segments.of_call(self.functions.entry(function), args, depth, most)
        return GeneratedActivation(self, segments, self.bundle.program.functions[function])

    def restore(self, frames: Sequence[RawFrame], most: int = MAX_DEPTH) -> GeneratedActivation:
        oldest = frames[-1]
        if not all(isinstance(i.engine, GeneratedEngine) for i in {f.instance for f in frames}):
            raise CheckpointError(SEVERAL_ENGINES)
        type_ = oldest.instance.program.functions[oldest.function]
        activation = GeneratedActivation(self, make_segments(frames, most), type_)
        activation.has_counted = frames[0].instance.engine
        return activation
