"""What runs a sample: each engine is one function that makes a sample ready to be called.

An engine is used in a process of its own (see ``worker``), so it may change the interpreter's
settings as its documentation asks, and it imports what it needs only when it is used.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from benchmarks.samples import Sample

#: Called with a size, runs the sample; the result is as the engine gives it.
Ready = Callable[[int], object]


def handwritten(sample: Sample) -> Ready:
    from benchmarks.handwritten import HANDWRITTEN

    return HANDWRITTEN[sample.name]


def aot(sample: Sample) -> Ready:
    return _chiwawa(sample, "aot")


def interp(sample: Sample) -> Ready:
    return _chiwawa(sample, "interp")


def _chiwawa(sample: Sample, path: str) -> Ready:
    import chiwawa

    instance = chiwawa.instantiate(chiwawa.load(sample.file), path=path)
    return lambda size: instance.invoke(sample.export, [size])


def native(sample: Sample) -> Ready:
    return _native(sample, counts=False)


def counting(sample: Sample) -> Ready:
    """The native path with functions that count safepoints."""
    return _native(sample, counts=True)


def _native(sample: Sample, counts: bool) -> Ready:
    import chiwawa

    instance = chiwawa.instantiate(chiwawa.load(sample.file), path="native")
    if counts:
        instance.engine.safepoints.count_from(0, None, lambda: None)
    # It is compiled when it is first called.
    instance.invoke(sample.export, [1])
    return lambda size: instance.invoke(sample.export, [size])


def unpolled(sample: Sample) -> Ready:
    """The AOT path without the tests for a request at safepoints: what those cost."""
    from chiwawa.aot.path import translation
    from chiwawa.api import instantiate
    from chiwawa.execution import Settings
    from chiwawa.source import load

    instance = instantiate(translation(load(sample.file), Settings(), polls=False))
    return lambda size: instance.invoke(sample.export, [size])


def plain(sample: Sample) -> Ready:
    """The AOT path with plain functions: what being stoppable costs, polls and generators."""
    from benchmarks.plain import plain_bundle
    from chiwawa.api import instantiate
    from chiwawa.source import load

    instance = instantiate(plain_bundle(load(sample.file)))
    return lambda size: instance.invoke(sample.export, [size])


def counted(sample: Sample) -> Ready:
    """The AOT path with the monitor ``opcodes``: what being counted costs."""
    import chiwawa

    module = chiwawa.load(sample.file)
    instruments = chiwawa.Instruments(module, monitors=["opcodes"])
    instance = chiwawa.instantiate(module, instruments=instruments)
    return lambda size: instance.invoke(sample.export, [size])


def pywasm(sample: Sample) -> Ready:
    import pywasm

    runtime = pywasm.core.Runtime()
    module = runtime.instance_from_file(str(sample.file))
    return lambda size: runtime.invocate(module, sample.export, [size])


def ppci(sample: Sample) -> Ready:
    from ppci.wasm import Module, instantiate

    # Its Python functions call one another without a stack of their own.
    sys.setrecursionlimit(20_000)
    instance = instantiate(Module(sample.file.read_bytes()), {}, target="python")
    return instance.exports[sample.export]  # type: ignore[no-any-return]


def wasmtime(sample: Sample) -> Ready:
    return _wasmtime(sample)


def epochs(sample: Sample) -> Ready:
    """wasmtime's own way of being interrupted: a trap, after which nothing goes on."""
    return _wasmtime(sample, epoch_interruption=True)


def fuel(sample: Sample) -> Ready:
    """wasmtime's own way of counting."""
    return _wasmtime(sample, consume_fuel=True)


def asyncify(sample: Sample) -> Ready:
    """The module as binaryen makes it stoppable, at the same safepoints as ours."""
    import chiwawa
    from benchmarks.asyncify import asyncified

    return _wasmtime(sample, asyncified(chiwawa.load(sample.file)))


def _wasmtime(sample: Sample, binary: bytes | None = None, **settings: bool) -> Ready:
    import wasmtime

    config = wasmtime.Config()
    for name, value in settings.items():
        setattr(config, name, value)
    store = wasmtime.Store(wasmtime.Engine(config))
    if settings.get("epoch_interruption"):
        store.set_epoch_deadline(1)
    if settings.get("consume_fuel"):
        store.set_fuel((1 << 64) - 1)
    module = wasmtime.Module(store.engine, binary or sample.file.read_bytes())
    imports = [
        wasmtime.Func(store, wasmtime.FuncType([], []), lambda: None) for _ in module.imports
    ]
    function = wasmtime.Instance(store, module, imports).exports(store)[sample.export]
    assert isinstance(function, wasmtime.Func)
    return lambda size: function(store, size)


ENGINES: dict[str, Callable[[Sample], Ready]] = {
    "handwritten": handwritten,
    "aot": aot,
    "unpolled": unpolled,
    "plain": plain,
    "counted": counted,
    "interp": interp,
    "pywasm": pywasm,
    "ppci": ppci,
    "wasmtime": wasmtime,
    "native": native,
    "counting": counting,
    "asyncify": asyncify,
    "epochs": epochs,
    "fuel": fuel,
}
#: The package whose version matters; where it is None there is none but Python's own.
PACKAGES: dict[str, str | None] = {
    "handwritten": None,
    "aot": "chiwawa",
    "unpolled": "chiwawa",
    "plain": "chiwawa",
    "counted": "chiwawa",
    "interp": "chiwawa",
    "pywasm": "pywasm",
    "ppci": "ppci",
    "wasmtime": "wasmtime",
    "native": "chiwawa",
    "counting": "chiwawa",
    "asyncify": "binaryen",
    "epochs": "wasmtime",
    "fuel": "wasmtime",
}
