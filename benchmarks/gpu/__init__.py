"""Measures the engine against transformers on a GPU, with models of one to seven billion parameters in bf16.

All systems run the same items, with outputs of the same lengths. Workloads, processes and rounds come from
``benchmarks.engine``.
"""
