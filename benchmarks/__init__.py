"""How fast chiwawa is, next to peers and to Python written by hand: ``python -m benchmarks``."""
