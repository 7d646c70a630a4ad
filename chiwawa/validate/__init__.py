"""The spec's type checker (spec 3): ``validate``."""

from chiwawa.validate.module import validate

__all__ = ["validate"]
