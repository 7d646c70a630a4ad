"""The spec's type checker (spec 3): ``validate`` judges a module, ``type_body`` gives what checking
a function's body found out about it."""

from chiwawa.validate.body import Boundaries, Handler, Label, Settled
from chiwawa.validate.context import Context, build_context
from chiwawa.validate.module import BodyChecks, type_body, validate

__all__ = [
    "BodyChecks",
    "Boundaries",
    "Context",
    "Handler",
    "Label",
    "Settled",
    "build_context",
    "type_body",
    "validate",
]
