"""Tracing, monitors and probes: what looks at a running program, whichever path runs it."""

from chiwawa.instrument.probes import At, Match, Probe
from chiwawa.instrument.session import Instruments
from chiwawa.instrument.trace import Tracer, Tracing

__all__ = ["At", "Instruments", "Match", "Probe", "Tracer", "Tracing"]
