"""Weights and configurations of published models: ``supply.supply`` brings them into a folder as safetensors.

What a stranger made is converted in a confined child (``child``): pickled weights (``pickled``), GGUF (``gguf``),
quantized weights (``dequantized``) and adapters (``merged``).
"""
