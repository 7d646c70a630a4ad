"""The engine of generated code: generators that are started, suspended, read and resumed."""

from chiwawa_runtime.engine.generated.engine import GeneratedEngine
from chiwawa_runtime.engine.generated.functions import BUILTINS

__all__ = ["BUILTINS", "GeneratedEngine"]
