"""Measurements of the whole system beside its peers, each in a package of its own; none of it is installed."""
