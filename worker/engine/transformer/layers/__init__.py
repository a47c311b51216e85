"""Linear layers, norms and projections that take the place of transformers' own modules."""
