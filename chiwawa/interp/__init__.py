"""The interpreter: it steps decoded Wasm, with frames of its own, and can stop at any boundary."""

from chiwawa.interp.machine import InterpreterEngine

__all__ = ["InterpreterEngine"]
