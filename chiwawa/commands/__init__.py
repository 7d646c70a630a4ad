"""The command line and what its commands do; ``report`` and ``debug`` stand beside it."""
