"""Texts before and after a model: cleaning, splitting into sentences, and keeping placeholders."""
