"""What runs an instance's functions: the contract of an engine, what all engines share, and the one
that runs generated code."""
