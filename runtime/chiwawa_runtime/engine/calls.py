"""How generated code calls what is no generated code: the host, and functions of other engines.

Whoever knows no generators calls an instance's function by ``Engine.start`` and
``Activation.advance``, and one of the host by its ``call_at``. Generated code delegates to a
function's ``enter``; here is one for both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from chiwawa_runtime.engine.awaiting import awaited, is_async
from chiwawa_runtime.engine.segments import INTERRUPTED, Chain, here
from chiwawa_runtime.errors import HostError, Interrupted
from chiwawa_runtime.state.plain import plain
from chiwawa_runtime.state.store import PASSING, Function, HostFunction, coerce_results
from chiwawa_runtime.state.types import I32, I64


class Caller(Protocol):
    """An instance, as far as calls of the host are concerned."""

    #: How deep in the call stack the host is called.
    depth: int


class Nobody:
    """Calls a host function that no instance has imported."""

    depth = 0


class StartedFunction(Function):
    """A function of an instance whose engine sets no ``enter``. It has one as a method, so that it
    costs nothing where nobody enters it: few are entered from outside, and a large module has many.
    """

    __slots__ = ()

    def enter(self, *args: Any) -> Chain:
        """Called from generated code of another instance: ``args`` and then the depth of the call
        in its segment. What it suspends stays in the activation, and goes on when this does."""
        assert self.instance is not None
        *values, depth = args
        engine = self.instance.engine
        activation = engine.start(self.index, values, here.base + depth, here.most)
        while not activation.advance():
            yield INTERRUPTED if activation.interrupted else None
        results = activation.results
        return None if not results else results[0] if len(results) == 1 else tuple(results)


@dataclass(frozen=True, slots=True)
class HostCall:
    """What a call of a host function does, for who has no time for a Python function more:
    ``call`` is called with arguments as the host is to have them, while ``caller`` says how deep
    that is. An int of 0 to ``most`` is a result as it stands; all else is coerced, and what is
    raised instead is a ``failure``."""

    call: Callable[..., Any]
    caller: Caller
    most: int


def failure(name: str, error: BaseException) -> BaseException:
    """What is raised where a host function called ``name`` has raised ``error``."""
    if isinstance(error, (*PASSING, Interrupted)) or not isinstance(error, Exception):
        return error
    failed = HostError(f"host function {name}: {type(error).__name__}: {error}")
    failed.__cause__ = error
    return failed


def host_function(host: HostFunction, instance: Caller | None, index: int) -> Function:
    """``host`` as a function instance that ``instance`` imports (None: nobody's), its function
    ``index``."""
    function = Function(host.type, instance=None, index=index, name=host.name, host=host)
    call = awaited(host.call, host.name) if is_async(host.call) else host.call
    if host.with_instance:
        call = partial(call, instance)
    params, results = host.type.params, host.type.results
    # The greatest result that need not be coerced.
    most = (1 << results[0].bits) - 1 if results in ((I32,), (I64,)) else -1
    caller: Caller = Nobody() if instance is None else instance
    integers = [t is I32 or t is I64 for t in params]
    only_integers = all(integers)
    # Of integers of one width, what the greatest signed one is less than.
    halves = {1 << t.bits - 1 for t in params if t is I32 or t is I64}
    half = halves.pop() if only_integers and len(halves) == 1 else 0

    def call_exactly(depth: int, args: Sequence[Any]) -> Any:
        # What the host calls back goes on from there.
        caller.depth = depth
        try:
            value = call(*args)
            if type(value) is int and 0 <= value <= most:
                return value
            return coerce_results(value, results)
        except (*PASSING, Interrupted):
            raise
        except Exception as error:
            raise failure(host.name, error) from error
        finally:
            caller.depth = 0

    def call_at(depth: int, args: Sequence[Any]) -> Any:
        # A comparison's result may still be a bool here.
        if not host.unsigned:
            if half:
                return call_exactly(depth, [(each ^ half) - half for each in args])
            return call_exactly(depth, list(map(plain, args, params)))
        if only_integers:
            return call_exactly(depth, tuple(map(int, args)))
        exact = [int(a) if i else a for a, i in zip(args, integers, strict=True)]
        return call_exactly(depth, exact)

    def enter(*args: Any) -> Chain:
        return call_at(here.base + args[-1], args[:-1])
        yield

    function.call_exactly, function.call_at, function.enter = call_exactly, call_at, enter
    function.host_call = HostCall(call, caller, most)
    return function
