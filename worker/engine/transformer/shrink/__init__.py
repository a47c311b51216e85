"""Smaller models of models: pruned, sparse, quantized, and compared."""
