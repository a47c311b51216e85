"""Weights: found, checked against their manifest, and brought into memory."""
