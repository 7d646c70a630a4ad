"""The translator: a Wasm module to resumable generators, in a Python file or in memory."""

from chiwawa.aot.file import Progress, translate
from chiwawa.aot.ondemand import translate_on_demand

__all__ = ["Progress", "translate", "translate_on_demand"]
