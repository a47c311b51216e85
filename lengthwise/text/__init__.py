"""Texts before and after a model: cleaned, cut into sentences, with placeholders kept."""
