"""WebAssembly programs that can be stopped, carried elsewhere and continued.

::

    module = chiwawa.load("program.wasm")
    instance = chiwawa.instantiate(module, path="aot")
    print(instance.exports.add(2, 3))
    run = instance.start("compute", 100)
    instance.stop()  # from a thread, a signal handler, a host function
    if not run.resume():
        data = run.checkpoint()
        run = chiwawa.restore(module, data, path="interp")
        run.resume()
    print(run.result)

Names are imported when they are first used: most programs need few of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chiwawa.api import bake as bake
    from chiwawa.api import compile_file as compile_file
    from chiwawa.api import compile_native as compile_native
    from chiwawa.api import instantiate as instantiate
    from chiwawa.api import load_generated as load_generated
    from chiwawa.api import load_native as load_native
    from chiwawa.api import restore as restore
    from chiwawa.api import restore_instance as restore_instance
    from chiwawa.api import start as start
    from chiwawa.api import stubs as stubs
    from chiwawa.instrument import At as At
    from chiwawa.instrument import Instruments as Instruments
    from chiwawa.instrument import Match as Match
    from chiwawa.instrument import Probe as Probe
    from chiwawa.instrument import Tracer as Tracer
    from chiwawa.instrument import Tracing as Tracing
    from chiwawa.linker import Linker as Linker
    from chiwawa.module import Module as Module
    from chiwawa.native_file import NativeFile as NativeFile
    from chiwawa.source import load as load
    from chiwawa.wasi_run import WasiResult as WasiResult
    from chiwawa.wasi_run import run_wasi as run_wasi
    from chiwawa_runtime.engine.exports import Exports as Exports
    from chiwawa_runtime.engine.translation import Bundle as Bundle
    from chiwawa_runtime.errors import BadInput as BadInput
    from chiwawa_runtime.errors import CheckpointError as CheckpointError
    from chiwawa_runtime.errors import ChiwawaError as ChiwawaError
    from chiwawa_runtime.errors import Exhaustion as Exhaustion
    from chiwawa_runtime.errors import HostError as HostError
    from chiwawa_runtime.errors import Interrupted as Interrupted
    from chiwawa_runtime.errors import InvalidError as InvalidError
    from chiwawa_runtime.errors import MalformedError as MalformedError
    from chiwawa_runtime.errors import ReplayError as ReplayError
    from chiwawa_runtime.errors import ResourceError as ResourceError
    from chiwawa_runtime.errors import RunError as RunError
    from chiwawa_runtime.errors import Trap as Trap
    from chiwawa_runtime.errors import UnlinkableError as UnlinkableError
    from chiwawa_runtime.errors import UnsupportedError as UnsupportedError
    from chiwawa_runtime.errors import WasiExit as WasiExit
    from chiwawa_runtime.run.flight import FlightRecorder as FlightRecorder
    from chiwawa_runtime.run.instance import Instance as Instance
    from chiwawa_runtime.run.instance import Run as Run
    from chiwawa_runtime.run.instance import Stopped as Stopped
    from chiwawa_runtime.run.recordings import record_calls as record_calls
    from chiwawa_runtime.run.recordings import replay_calls as replay_calls
    from chiwawa_runtime.run.standing import Frame as Frame
    from chiwawa_runtime.state.exceptions import ExceptionInstance as ExceptionInstance
    from chiwawa_runtime.state.exceptions import Tag as Tag
    from chiwawa_runtime.state.globals import Global as Global
    from chiwawa_runtime.state.host_limits import Limits as Limits
    from chiwawa_runtime.state.interface import AnyGlobal as AnyGlobal
    from chiwawa_runtime.state.interface import AnyMemory as AnyMemory
    from chiwawa_runtime.state.interface import AnyTable as AnyTable
    from chiwawa_runtime.state.memory import Memory as Memory
    from chiwawa_runtime.state.program import ExportType as ExportType
    from chiwawa_runtime.state.program import ImportType as ImportType
    from chiwawa_runtime.state.store import Function as Function
    from chiwawa_runtime.state.store import HostFunction as HostFunction
    from chiwawa_runtime.state.table import Table as Table
    from chiwawa_runtime.state.throwing import Thrown as Thrown
    from chiwawa_runtime.state.types import ANYREF as ANYREF
    from chiwawa_runtime.state.types import EXNREF as EXNREF
    from chiwawa_runtime.state.types import EXTERNREF as EXTERNREF
    from chiwawa_runtime.state.types import F32 as F32
    from chiwawa_runtime.state.types import F64 as F64
    from chiwawa_runtime.state.types import FUNCREF as FUNCREF
    from chiwawa_runtime.state.types import I32 as I32
    from chiwawa_runtime.state.types import I64 as I64
    from chiwawa_runtime.state.types import V128 as V128
    from chiwawa_runtime.state.types import FuncType as FuncType
    from chiwawa_runtime.state.types import GlobalType as GlobalType
    from chiwawa_runtime.state.types import ItemType as ItemType
    from chiwawa_runtime.state.types import MemoryType as MemoryType
    from chiwawa_runtime.state.types import NumType as NumType
    from chiwawa_runtime.state.types import RefType as RefType
    from chiwawa_runtime.state.types import TableType as TableType
    from chiwawa_runtime.state.types import TagType as TagType
    from chiwawa_runtime.state.types import ValType as ValType
    from chiwawa_runtime.state.types import VecType as VecType
    from chiwawa_runtime.wasi import Wasi as Wasi
    from chiwawa_runtime.wasi.memory_files import MemoryFiles as MemoryFiles

__version__ = "0.1.0"

_HOME = {
    "FlightRecorder": "chiwawa_runtime.run.flight",
    "Frame": "chiwawa_runtime.run.standing",
    "Linker": "chiwawa.linker",
    "Stopped": "chiwawa_runtime.run.instance",
    "I32": "chiwawa_runtime.state.types",
    "I64": "chiwawa_runtime.state.types",
    "F32": "chiwawa_runtime.state.types",
    "F64": "chiwawa_runtime.state.types",
    "V128": "chiwawa_runtime.state.types",
    "FUNCREF": "chiwawa_runtime.state.types",
    "EXTERNREF": "chiwawa_runtime.state.types",
    "ANYREF": "chiwawa_runtime.state.types",
    "EXNREF": "chiwawa_runtime.state.types",
    "NumType": "chiwawa_runtime.state.types",
    "VecType": "chiwawa_runtime.state.types",
    "RefType": "chiwawa_runtime.state.types",
    "FuncType": "chiwawa_runtime.state.types",
    "MemoryType": "chiwawa_runtime.state.types",
    "TableType": "chiwawa_runtime.state.types",
    "GlobalType": "chiwawa_runtime.state.types",
    "TagType": "chiwawa_runtime.state.types",
    "ValType": "chiwawa_runtime.state.types",
    "ItemType": "chiwawa_runtime.state.types",
    "ImportType": "chiwawa_runtime.state.program",
    "ExportType": "chiwawa_runtime.state.program",
    "Exports": "chiwawa_runtime.engine.exports",
    "Bundle": "chiwawa_runtime.engine.translation",
    "NativeFile": "chiwawa.native_file",
    "AnyGlobal": "chiwawa_runtime.state.interface",
    "AnyMemory": "chiwawa_runtime.state.interface",
    "AnyTable": "chiwawa_runtime.state.interface",
    "At": "chiwawa.instrument",
    "Instruments": "chiwawa.instrument",
    "Match": "chiwawa.instrument",
    "Probe": "chiwawa.instrument",
    "Tracer": "chiwawa.instrument",
    "Tracing": "chiwawa.instrument",
    "BadInput": "chiwawa_runtime.errors",
    "CheckpointError": "chiwawa_runtime.errors",
    "ChiwawaError": "chiwawa_runtime.errors",
    "ExceptionInstance": "chiwawa_runtime.state.exceptions",
    "Exhaustion": "chiwawa_runtime.errors",
    "Function": "chiwawa_runtime.state.store",
    "Global": "chiwawa_runtime.state.globals",
    "HostError": "chiwawa_runtime.errors",
    "HostFunction": "chiwawa_runtime.state.store",
    "Instance": "chiwawa_runtime.run.instance",
    "Interrupted": "chiwawa_runtime.errors",
    "InvalidError": "chiwawa_runtime.errors",
    "Limits": "chiwawa_runtime.state.host_limits",
    "MalformedError": "chiwawa_runtime.errors",
    "Memory": "chiwawa_runtime.state.memory",
    "MemoryFiles": "chiwawa_runtime.wasi.memory_files",
    "Module": "chiwawa.module",
    "ReplayError": "chiwawa_runtime.errors",
    "ResourceError": "chiwawa_runtime.errors",
    "Run": "chiwawa_runtime.run.instance",
    "RunError": "chiwawa_runtime.errors",
    "Table": "chiwawa_runtime.state.table",
    "Tag": "chiwawa_runtime.state.exceptions",
    "Thrown": "chiwawa_runtime.state.throwing",
    "Trap": "chiwawa_runtime.errors",
    "UnlinkableError": "chiwawa_runtime.errors",
    "UnsupportedError": "chiwawa_runtime.errors",
    "Wasi": "chiwawa_runtime.wasi",
    "WasiExit": "chiwawa_runtime.errors",
    "WasiResult": "chiwawa.wasi_run",
    "bake": "chiwawa.api",
    "compile_file": "chiwawa.api",
    "compile_native": "chiwawa.api",
    "instantiate": "chiwawa.api",
    "load": "chiwawa.source",
    "load_generated": "chiwawa.api",
    "load_native": "chiwawa.api",
    "record_calls": "chiwawa_runtime.run.recordings",
    "replay_calls": "chiwawa_runtime.run.recordings",
    "restore": "chiwawa.api",
    "restore_instance": "chiwawa.api",
    "run_wasi": "chiwawa.wasi_run",
    "start": "chiwawa.api",
    "stubs": "chiwawa.api",
}

__all__ = [
    "ANYREF",
    "EXNREF",
    "EXTERNREF",
    "F32",
    "F64",
    "FUNCREF",
    "I32",
    "I64",
    "V128",
    "AnyGlobal",
    "AnyMemory",
    "AnyTable",
    "At",
    "BadInput",
    "Bundle",
    "CheckpointError",
    "ChiwawaError",
    "ExceptionInstance",
    "Exhaustion",
    "ExportType",
    "Exports",
    "FlightRecorder",
    "Frame",
    "FuncType",
    "Function",
    "Global",
    "GlobalType",
    "HostError",
    "HostFunction",
    "ImportType",
    "Instance",
    "Instruments",
    "Interrupted",
    "InvalidError",
    "ItemType",
    "Limits",
    "Linker",
    "MalformedError",
    "Match",
    "Memory",
    "MemoryFiles",
    "MemoryType",
    "Module",
    "NativeFile",
    "NumType",
    "Probe",
    "RefType",
    "ReplayError",
    "ResourceError",
    "Run",
    "RunError",
    "Stopped",
    "Table",
    "TableType",
    "Tag",
    "TagType",
    "Thrown",
    "Tracer",
    "Tracing",
    "Trap",
    "UnlinkableError",
    "UnsupportedError",
    "ValType",
    "VecType",
    "Wasi",
    "WasiExit",
    "WasiResult",
    "__version__",
    "bake",
    "compile_file",
    "compile_native",
    "instantiate",
    "load",
    "load_generated",
    "load_native",
    "record_calls",
    "replay_calls",
    "restore",
    "restore_instance",
    "run_wasi",
    "start",
    "stubs",
]


if not TYPE_CHECKING:
    # Type checkers would take it that there is every name.
    def __getattr__(name: str) -> Any:
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(_HOME[name]), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return __all__
