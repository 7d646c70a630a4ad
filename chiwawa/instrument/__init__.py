"""Tracing, monitors and probes: what looks at a running program, whichever path runs it."""

from chiwawa.instrument.instruments import Instruments
from chiwawa.instrument.probes import At, Match, Probe
from chiwawa.instrument.tracing.tracer import Tracer, Tracing

__all__ = ["At", "Instruments", "Match", "Probe", "Tracer", "Tracing"]
