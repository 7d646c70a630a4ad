"""Tracing, monitors and probes: what looks at a running program, whichever path runs it."""
