"""The text format (spec 6) and scripts: ``parse_module``, ``print_module``, ``parse_script``."""

from chiwawa.wat.parser import parse_module, parse_source

__all__ = ["parse_module", "parse_source"]
