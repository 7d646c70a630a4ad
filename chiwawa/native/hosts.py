"""Functions that a rewritten module imports or finds in a table, and that are not its own: of the
host, or of another instance.

A callback does not fail where the activation that goes on has called it: what is raised is kept by
that, and the mode tells the guest to unwind, which saves its frames as it does at a safepoint.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from chiwawa.native import capi
from chiwawa.native.added import ASKED, PLAIN
from chiwawa.native.engine_types import function_type
from chiwawa.native.guest import Guest
from chiwawa.native.layout import TAIL_CALLED
from chiwawa.native.vault import Vault
from chiwawa_runtime.engine.calls import HostCall, failure
from chiwawa_runtime.errors import Exhaustion, Interrupted
from chiwawa_runtime.state.deftypes import of_functype
from chiwawa_runtime.state.plain import plain
from chiwawa_runtime.state.store import Function, coerce_results, holds
from chiwawa_runtime.state.throwing import Thrown
from chiwawa_runtime.state.types import I32, I64, DefType, RefType

#: The environment, the caller, arguments that results come to lie over, and how many: 0, or a trap.
Called = Callable[[object, Any, Any, int], int]
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
    typed = list(enumerate(params))
    single = results[0] if len(results) == 1 else None
    # What a host function returns is in range; of another instance's, it may be a bool.
    number = single in _MASKS
    referring = [(i, t) for i, t in enumerate(results) if isinstance(t, RefType)]
    referred = [i for i, t in enumerate(params) if isinstance(t, RefType)]
    nothing = [None] * len(params)

    def called(env: object, caller: Any, values: Any, count: int) -> int:
        activation = going[-1]
        engine = vault.caller(caller) if vault.shared else activation.engine
        args: Sequence[Any] = nothing
        try:
            if integers:
                args = [(values[slot] & mask ^ half) - half for slot, mask, half in slots]
            else:
                args = [vault.take(values, i, t) for i, t in typed]
                if signed:
                    args = list(map(plain, args, params))
            depth = engine.machine.depth.value
            if call is None:
                make = partial(activation.call_instance, function, args, depth % TAIL_CALLED)
                if depth < TAIL_CALLED:
                    value = make(False)
                else:
                    value = call_at_length(partial(make, True), activation.engine)
            elif depth < TAIL_CALLED:
                value = call(depth, args)
            else:
                again = partial(call, depth - TAIL_CALLED, args)
                value = call_at_length(again, activation.engine)
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
            activation.failed(error, engine)
            # Numbers stay as they are: an argument lies where a result of its type comes to lie,
            # and is to be there still when the call is made again.
            for i, valtype in referring:
                if not (i in referred and holds(valtype, args[i])):
                    values[2 * i] = values[2 * i + 1] = 0
        # PyPy takes no None for it.
        return 0

    brief = integers and len(params) <= 2 and (number or not results)
    if brief and function.host_call is not None:
        callback = capi.Callback(called_briefly(vault, function, called, slots))
    else:
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


def asked_function(vault: Vault, allows: Callable[[int, int], bool]) -> capi.Func:
    """What is asked before something grows (``added.ASKED``), which ``allows`` that or not."""

    def asked(env: object, caller: Any, values: Any, count: int) -> int:
        thing, more = values[0] & 0xFFFFFFFF, values[2]
        values[0] = 0
        values[0] = allows((thing ^ 1 << 31) - (1 << 31), more)
        return 0

    return _made(vault, of_functype(ASKED), asked)


def told_function(vault: Vault, tell: Callable[[], None]) -> capi.Func:
    """What calls ``tell``."""

    def told(env: object, caller: Any, values: Any, count: int) -> int:
        tell()
        return 0

    return _made(vault, of_functype(PLAIN), told)


def entering_function(vault: Vault, deftype: DefType, engine: Guest, index: int) -> capi.Func:
    """A function of ``deftype`` that calls one of ``engine``'s which has its frame again, so that
    arguments play no part. That has the same results."""
    functype = engine.spaces.funcs[index]
    count = len(functype.results)
    size = max(len(functype.params), count)

    def called(env: object, caller: Any, values: Any, size_: int) -> int:
        try:
            machine = engine.machine
            own = (ctypes.c_uint64 * (2 * size))()
            trap = machine.call(machine.function(index), own, size)
            if trap:
                exception = vault.thrown()
                if exception is None:
                    return trap
                capi.discard_trap(trap)
                return vault.exceptions.throw(exception)
            for i in range(2 * count):
                values[i] = own[i]
        except BaseException as error:
            activation = vault.going[-1]
            # By a trap of the host's, which wasmtime says in an error.
            if activation.failure is None:
                activation.failure = Exhaustion() if type(error) is RecursionError else error
            return capi.trap_new(FAILED, len(FAILED))  # type: ignore[no-any-return]
        return 0

    return _made(vault, deftype, called)


def _made(vault: Vault, deftype: DefType, called: Called) -> capi.Func:
    callback = capi.Callback(called)
    func = capi.Func()
    made = function_type(vault.engine, deftype)
    capi.new_unchecked(
        vault.context, capi.address(made.ptr()), callback, None, None, ctypes.byref(func)
    )
    vault.kept.append(callback)
    return func


def called_briefly(
    vault: Vault, function: Function, called: Called, slots: Sequence[tuple[int, Any, int]]
) -> Called:
    """What does the same as ``called`` for a function of the host of at most two integers and at
    most one result, which most are, in one Python function and without looking at what it is: a
    call costs half as much again otherwise."""
    going = vault.going
    host_call: HostCall = function.host_call
    call, importer, most = host_call.call, host_call.caller, host_call.most
    results, name = function.type.results, function.name or ""
    takes = len(slots)
    (_, mask, half), (_, second_mask, second_half) = (*slots, (0, 0, 0), (0, 0, 0))[:2]

    def brief(env: object, caller: Any, values: Any, count: int) -> int:
        activation = going[-1]
        depth = activation.called_at.value
        if vault.shared or depth >= TAIL_CALLED:
            return called(env, caller, values, count)
        importer.depth = depth
        try:
            if takes == 1:
                value = call((values[0] & mask ^ half) - half)
            elif takes:
                value = call(
                    (values[0] & mask ^ half) - half,
                    (values[2] & second_mask ^ second_half) - second_half,
                )
            else:
                value = call()
            if type(value) is int and 0 <= value <= most:
                values[0] = value
            else:
                value = coerce_results(value, results)
                if results:
                    values[0] = value
        except Thrown as thrown:
            return vault.exceptions.throw(thrown.exception)
        except BaseException as error:
            activation.failed(failure(name, error), activation.engine)
        finally:
            importer.depth = 0
        return 0

    return brief


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
