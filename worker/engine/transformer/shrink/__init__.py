"""Makes smaller models from models, by pruning, sparsity and quantization, and compares their answers."""
