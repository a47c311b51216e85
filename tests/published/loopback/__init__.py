"""A hub of models on this machine, which plays the faults of a real one."""
