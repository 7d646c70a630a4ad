"""The functions of a generated file, as one instance has them.

A generated file has its functions at top level, and they name what belongs to an instance
(memories, globals, other functions) as if it were global. Each instance gets functions of its own
that share the file's code and have a namespace of their own, so nothing is looked up through an
instance while a program runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from string import digits
from types import CodeType, FunctionType, ModuleType
from typing import Any, cast

from chiwawa_runtime.engine.generated.imports import imported_entry
from chiwawa_runtime.engine.instance import ModuleInstance
from chiwawa_runtime.engine.segments import Chain, TailCall, deeper, tails
from chiwawa_runtime.engine.tails import entered, tail_call
from chiwawa_runtime.engine.translation import Bundle, Code
from chiwawa_runtime.engine.traps import GENERATED
from chiwawa_runtime.errors import Trap
from chiwawa_runtime.state import heap, vectors
from chiwawa_runtime.state.memory import Memory
from chiwawa_runtime.state.numerics import NAMESPACE, make_f32_cell, make_f32_round
from chiwawa_runtime.state.table import indirect_target
from chiwawa_runtime.state.throwing import Thrown, throw, throw_ref


def unreachable() -> None:
    raise Trap("unreachable")


#: What generated code names, beside what belongs to its instance and what ``vectors`` has, which
#: is given to functions that name it.
BUILTINS: dict[str, object] = {
    **NAMESPACE,
    **heap.NAMES,
    "inf": float("inf"),
    "unreachable": unreachable,
    "Thrown": Thrown,
    "throw": throw,
    "throw_ref": throw_ref,
    "deeper": deeper,
    "TailCall": TailCall,
    "tails": tails,
    "tail_call": tail_call,
    "indirect": indirect_target,
    "f32_cell": None,
}


class GeneratedFunctions:
    """The functions of ``bundle`` for one instance. Functions are named by their indices in the
    instance's index space."""

    def __init__(self, bundle: Bundle, names: Mapping[str, Any]) -> None:
        """``names`` are found by the functions too."""
        self.bundle = bundle
        # A module's dict rather than a plain one: PyPy looks globals up in it without hashing.
        self.namespace: dict[str, Any] = ModuleType(GENERATED).__dict__
        self.namespace.update(BUILTINS)
        self.namespace.update(names)
        self.imported = len(bundle.program.functions) - len(bundle.codes)
        #: Which function a code object is of, and what is known of it: also of those that were
        #: replaced, whose frames may still be there.
        self.known: dict[CodeType, tuple[int, Code]] = {}
        self.instance: ModuleInstance
        #: What functions may name of the instance by a word and an index, of which there can be
        #: tens of thousands: what a function names is in the namespace from when it is compiled.
        self.named: dict[str, Sequence[Any]] = {}
        #: The instance's, with their own side: its engine's ``state`` has made or accepted them.
        self.memories: Sequence[Memory] = ()
        self._callables: list[Callable[..., Any]] = []

    def attach(self, instance: ModuleInstance) -> None:
        """Name what ``instance`` holds, and give it these functions."""
        self.instance = instance
        names = self.namespace
        names["f32_round"] = make_f32_round()
        names["f32_cell"] = make_f32_cell()
        self.memories = cast(Sequence[Memory], instance.memories)
        for index, memory in enumerate(self.memories):
            names[f"mem{index}"] = memory
            memory.follow(self)
        self.take_memories()
        for prefix, things in (
            ("table", instance.tables),
            ("g", instance.globals),
            ("tag", instance.tags),
            ("type", self.bundle.program.types),
        ):
            names.update((f"{prefix}{i}", thing) for i, thing in enumerate(things))
        self.named = {
            "elem": instance.elems,
            "data": instance.datas,
            "ref": instance.functions,
        }
        for index, function in enumerate(instance.functions[: self.imported]):
            names[self.bundle.imported_names[index]] = imported_entry(function)
        self.take(self.bundle)

    def take_memories(self) -> None:
        """Have the names of the instance's memories stand for their bytes."""
        for index, memory in enumerate(self.memories):
            self.namespace[f"m{index}"] = memory.raw

    def take(self, bundle: Bundle) -> None:
        """Have the functions of ``bundle``, a translation of the same program, called from now
        on."""
        self.bundle = bundle
        self._callables = []
        first = self._compiled_when_called(bundle)
        for index, code in enumerate(bundle.codes, self.imported):
            own = partial(first, index)
            self._callables.append(own)
            self._publish(index, code.function.name, own)

    def code(self, function: int) -> Code:
        """What is known of a function that the module defines."""
        return self.bundle.codes[function - self.imported]

    def callable(self, function: int) -> Callable[..., Any]:
        """A function that the module defines, as other generated code calls it by name."""
        return self._callables[function - self.imported]

    def entry(self, function: int) -> Callable[..., Chain]:
        """A generator function for any function, whose last argument is the depth of the call in
        its segment."""
        if function < self.imported:
            return self.namespace[self.bundle.imported_names[function]]  # type: ignore[no-any-return]
        return self.instance.functions[function].enter

    def _with_own_namespace(self, index: int, code: Code, source: FunctionType) -> FunctionType:
        """A function of this instance with the code of ``source``."""
        # PyPy speeds up lookups in the one namespace that a code object was made with.
        copy = source.__code__.replace()
        self.namespace.update(vectors.named(copy.co_names))
        for name in copy.co_names:
            word = name.rstrip(digits)
            if word in self.named and name not in self.namespace:
                self.namespace[name] = self.named[word][int(name[len(word) :])]
        self.known[copy] = (index, code)
        return FunctionType(copy, self.namespace, source.__name__, source.__defaults__)

    def _publish(self, index: int, name: str, own: Callable[..., Any]) -> None:
        """Have ``own`` called as the function ``index``, from wherever."""
        self.namespace[name] = own
        function = self.instance.functions[index]
        if self.code(index).generator:
            ends_in_calls = index in self.bundle.program.tail_calls
            function.enter = entered(own) if ends_in_calls else own
        else:
            function.direct = own
            function.enter = generator_around(own)

    def _compiled_when_called(self, bundle: Bundle) -> Callable[..., Any]:
        """What stands for all functions of ``bundle`` until they have been called: it takes an
        index, and the arguments."""
        compiled: dict[int, FunctionType] = {}

        def first(index: int, *args: Any) -> Any:
            own = compiled.get(index)
            if own is None:
                code = bundle.codes[index - self.imported]
                source = code.function
                own = compiled[index] = self._with_own_namespace(index, code, source.made())
                if self.bundle is bundle:
                    self._callables[index - self.imported] = own
                    # A name that was never bound twice is a constant to PyPy.
                    del self.namespace[source.name]
                    self._publish(index, source.name, own)
            return own(*args)

        return first


def generator_around(function: Callable[..., Any]) -> Callable[..., Chain]:
    """A generator function around a plain one, for callers that cannot know which it is."""
    return partial(_around, function)


def _around(function: Callable[..., Any], *args: Any) -> Chain:
    return function(*args[:-1])
    yield
