"""What the engine does on a GPU, beside transformers: models of one to seven billion parameters in bf16, the same
items, and outputs of the same lengths. Workloads, processes and rounds are those of ``benchmarks.engine``.
"""
