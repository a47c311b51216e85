"""Tensor parallelism: a model split over several devices, with a process for each."""
