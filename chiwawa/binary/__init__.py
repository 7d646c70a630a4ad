"""The binary format (spec 5): ``decode`` and ``encode``."""

from chiwawa.binary.decode import decode, field_at
from chiwawa.binary.encode import encode

__all__ = ["decode", "encode", "field_at"]
