"""Attention: its interface, plans, caches and kernels."""
