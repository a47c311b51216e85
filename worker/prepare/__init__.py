"""``lengthwise model prepare``: a model made smaller, and what that cost, measured. Torch lives behind the engine."""
