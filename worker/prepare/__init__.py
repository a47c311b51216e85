"""``lengthwise model prepare``: makes a smaller model from a model, and measures what that costs in accuracy."""
