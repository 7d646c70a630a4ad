"""How fast chiwawa is, next to its peers and to Python written by hand: ``python -m benchmarks``."""
