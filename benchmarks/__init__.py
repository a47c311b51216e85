"""Benchmarks of the whole system against its peers. The wheel does not contain them."""
