"""Attention: the interface to transformers, the plans that each pass follows, the KV caches and the two backends."""
