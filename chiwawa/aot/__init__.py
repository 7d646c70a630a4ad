"""The translator: a Wasm module to a Python file of resumable generators."""

from chiwawa.aot.file import Progress, translate

__all__ = ["Progress", "translate"]
