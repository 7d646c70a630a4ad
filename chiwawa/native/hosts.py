"""Functions that a rewritten module imports or finds in a table, and that are not its own: of the
host, or of another instance.

A callback does not fail where the activation that goes on has called it: what is raised is kept by
that, and the mode tells the guest to unwind, which saves its frames as it does at a safepoint. It
fails by a trap where a function has called it that came out of another instance's table.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from chiwawa.native import capi
from chiwawa.native.engine_types import function_type
from chiwawa.native.guest import Guest
from chiwawa.native.layout import TAIL_CALLED
from chiwawa.native.vault import Vault
from chiwawa_runtime.errors import Interrupted
from chiwawa_runtime.state.store import Function, holds, plain
from chiwawa_runtime.state.throwing import Thrown
from chiwawa_runtime.state.types import I32, I64, RefType

#: What wasmtime says of a host function that has failed by a trap; ours says why.
FAILED = b"a host function failed"


def host_function(vault: Vault, function: Function) -> capi.Func:
    """``function`` as one in the vault's store."""
    params, results = function.type.params, function.type.results
    going = vault.going
    call = function.call_exactly if function.instance is None else None
    #: Numbers that need no more than a mask, as most do.
    masks = [_MASKS.get(t) for t in params]
    integers = None not in masks
    # What is beyond the greatest signed integer is for the host a negative one.
    signed = function.host is not None and not function.host.unsigned
    halves = [mask + 1 >> 1 if signed and mask else 0 for mask in masks]
    slots = [(2 * i, mask, half) for i, (mask, half) in enumerate(zip(masks, halves, strict=True))]
    only = masks[0] if integers and len(masks) == 1 else None
    two = masks if integers and len(masks) == 2 else None
    first, second = (*halves, 0, 0)[:2]
    typed = list(enumerate(params))
    single = results[0] if len(results) == 1 else None
    # What a host function returns is in range; of another instance's, it may be a bool.
    number = single in _MASKS
    referring = [(i, t) for i, t in enumerate(results) if isinstance(t, RefType)]
    referred = [i for i, t in enumerate(params) if isinstance(t, RefType)]
    nothing = [None] * len(params)

    def called(env: object, caller: Any, values: Any, count: int) -> int:
        activation = going[-1]
        inner = vault.shared and not activation.engine.machine.calls_by(caller)
        args: Sequence[Any] = nothing
        try:
            # Most have few arguments, and a comprehension takes longer than all else here.
            if only is not None:
                args = ((values[0] & only ^ first) - first,)
            elif two is not None:
                args = (
                    (values[0] & two[0] ^ first) - first,
                    (values[2] & two[1] ^ second) - second,
                )
            elif integers:
                args = [(values[slot] & mask ^ half) - half for slot, mask, half in slots]
            else:
                args = [vault.take(values, i, t) for i, t in typed]
                if signed:
                    args = list(map(plain, args, params))
            depth = activation.called_at.value
            if call is None:
                make = activation.call_instance
                if depth < TAIL_CALLED:
                    value = make(function, args, inner)
                else:
                    value = call_at_length(partial(make, function, args, True), activation.engine)
            elif depth < TAIL_CALLED:
                value = call(depth, args)
            else:
                make = partial(call, depth - TAIL_CALLED, args)
                value = call_at_length(make, activation.engine)
            if number:
                values[0] = value
            elif single is not None:
                vault.put(values, 0, single, value)
            elif results:
                for i, valtype in enumerate(results):
                    vault.put(values, i, valtype, value[i])
        except Thrown as thrown:
            return vault.exceptions.throw(thrown.exception)
        except BaseException as error:
            if inner:
                activation.failed_inside(error)
                return capi.trap_new(FAILED, len(FAILED))  # type: ignore[no-any-return]
            activation.failed(error)
            # Numbers stay as they are: an argument lies where a result of its type comes to lie,
            # and is to be there still when the call is made again.
            for i, valtype in referring:
                if not (i in referred and holds(valtype, args[i])):
                    values[2 * i] = values[2 * i + 1] = 0
        # PyPy takes no None for it.
        return 0

    callback = capi.Callback(called)
    func = capi.Func()
    functype = function_type(vault.engine, function.deftype)
    capi.new_unchecked(
        vault.context,
        capi.address(functype.ptr()),
        callback,
        None,
        None,
        ctypes.byref(func),
    )
    vault.kept.append(callback)
    return func


def call_at_length(call: Callable[[], Any], engine: Guest) -> Any:
    """A call by a tail call through a table: there is no frame by which it could be made again, so
    a request to stop waits until it has returned."""
    requests = engine.instance.requests
    waiting: list[str] = []
    try:
        while True:
            try:
                return call()
            except Interrupted:
                reasons = requests.take()
                if not reasons:
                    raise
                waiting += reasons
    finally:
        for reason in waiting:
            requests.ask(reason)


_MASKS: dict[object, int] = {t: (1 << t.bits) - 1 for t in (I32, I64)}
