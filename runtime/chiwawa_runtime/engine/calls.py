"""How generated code calls what is no generated code: the host, and functions of other engines.

Whoever knows no generators calls an instance's function by ``Engine.start`` and
``Activation.advance``, and one of the host by its ``call_at``. Generated code delegates to a
function's ``enter``; here is one for both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from chiwawa_runtime.engine.segments import INTERRUPTED, Chain, here
from chiwawa_runtime.state.store import Function, HostFunction, bind_host


class Caller(Protocol):
    """An instance, as far as calls of the host are concerned."""

    #: How deep in the call stack the host is called.
    depth: int


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
        activation = self.instance.engine.start(self.index, values, here.base + depth)
        while not activation.advance():
            yield INTERRUPTED if activation.interrupted else None
        results = activation.results
        return None if not results else results[0] if len(results) == 1 else tuple(results)


def host_function(host: HostFunction, instance: Caller | None, index: int) -> Function:
    """``host`` as a function instance that ``instance`` imports (None: nobody's), its function
    ``index``."""
    function = Function(host.type, instance=None, index=index, name=host.name, host=host)
    call = bind_host(host, instance)

    def call_at(depth: int, args: Sequence[Any]) -> Any:
        if instance is None:
            return call(*args)
        # What the host calls back goes on from there.
        instance.depth = depth
        try:
            return call(*args)
        finally:
            instance.depth = 0

    def enter(*args: Any) -> Chain:
        return call_at(here.base + args[-1], args[:-1])
        yield

    function.call_at, function.enter = call_at, enter
    return function
